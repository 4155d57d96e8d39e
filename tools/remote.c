/* SPDX-License-Identifier: LGPL-2.1-or-later
 * remote.c - a connection to an NBD server, through libnbd. */
#include "remote.h"

static const char layer_context[] = "strata:only:";

gboolean
remote_is_uri(const char *text)
{
    static const char *const schemes[] = {
        "nbd:/", "nbds:/", "nbd+unix:/", "nbds+unix:/", "nbd+vsock:/", "nbds+vsock:/",
    };

    for (guint i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_ascii_strncasecmp(text, schemes[i], strlen(schemes[i])) == 0)
            return TRUE;
    return FALSE;
}

gboolean
remote_throw(GError **error, const char *what)
{
    g_autofree char *reason = strata_escape(nbd_get_error());

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_REMOTE, "%s: %s", what, reason);
    return FALSE;
}

RemoteHandle *
remote_connect(const char *uri, GError **error)
{
    g_autoptr(RemoteHandle) nbd = nbd_create();
    g_autofree char *shown = strata_escape(uri);
    g_autofree char *what = g_strdup_printf("cannot connect to '%s'", shown);

    if (nbd == NULL || nbd_set_opt_mode(nbd, true) < 0 || nbd_set_full_info(nbd, true) < 0 ||
        nbd_connect_uri(nbd, uri) < 0) {
        remote_throw(error, what);
        return NULL;
    }
    return g_steal_pointer(&nbd);
}

static int
remote_keep_name(void *user_data, const char *name)
{
    GPtrArray *names = user_data;

    if (names->len < REMOTE_MAX_NAMES)
        g_ptr_array_add(names, g_strdup(name));
    return 0;
}

GPtrArray *
remote_list_contexts(RemoteHandle *nbd)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    /* An old server does not negotiate, one without structured replies has no contexts; neither
     * is an error: such a server just has nothing to list. */
    if (nbd_aio_is_negotiating(nbd)) {
        nbd_opt_list_meta_context(
            nbd, (nbd_context_callback){ .callback = remote_keep_name, .user_data = names });
    }
    return names;
}

GPtrArray *
remote_list_layers(GPtrArray *contexts)
{
    GPtrArray *layers = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < contexts->len; i++) {
        const char *name = g_ptr_array_index(contexts, i);

        if (g_str_has_prefix(name, layer_context))
            g_ptr_array_add(layers, g_strdup(name + strlen(layer_context)));
    }
    return layers;
}

gboolean
remote_enter(RemoteHandle *nbd, const char *const *wanted, GError **error)
{
    if (!nbd_aio_is_negotiating(nbd))
        return TRUE;
    for (guint i = 0; wanted[i] != NULL; i++)
        if (nbd_add_meta_context(nbd, wanted[i]) < 0)
            return remote_throw(error, "cannot ask for a metadata context");
    return nbd_opt_go(nbd) == 0 || remote_throw(error, "cannot open the export");
}
