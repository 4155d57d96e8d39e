/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sandbox-needs.c - collects what the server still has to do once it is confined. */
#include "sandbox-needs.h"

#include "protocol/proto.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What resolving the name of a host may read: nsswitch.conf(5) and what it leads to. The folder is
 * named and not its files, because those are replaced while the server runs, by whoever manages the
 * network, and a rule is for a file and not for its name. */
static const char *const for_host_names[] = {
    "/etc",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
};

/* The same for the name of the user, which is that of a pre-shared key where none is given:
 * getlogin(3). */
static const char *const for_user_names[] = {
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/run/utmp",
};

void
sandbox_needs_clear(SandboxNeeds *needs)
{
    g_clear_pointer(&needs->readable, g_ptr_array_unref);
    g_clear_pointer(&needs->removable, g_ptr_array_unref);
    g_clear_pointer(&needs->emptied, g_ptr_array_unref);
    g_clear_pointer(&needs->ports, g_array_unref);
    *needs = (SandboxNeeds){ 0 };
}

/* Takes @path. */
static void
add_path(GPtrArray **paths, char *path)
{
    if (*paths == NULL)
        *paths = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(*paths, path);
}

static void
add_parent(GPtrArray **paths, const char *path)
{
    g_autofree char *absolute = path != NULL ? g_canonicalize_filename(path, NULL) : NULL;

    if (absolute != NULL)
        add_path(paths, g_path_get_dirname(absolute));
}

void
sandbox_needs_read(SandboxNeeds *needs, const char *path)
{
    if (path != NULL)
        add_path(&needs->readable, g_canonicalize_filename(path, NULL));
}

/* A rule is for where a file really is. The neighbours of a device are other people's disks. */
void
sandbox_needs_read_around(SandboxNeeds *needs, const char *path)
{
    g_autofree char *real = path != NULL ? realpath(path, NULL) : NULL;
    struct stat found;

    add_parent(&needs->readable, path);
    if (real != NULL && stat(real, &found) == 0 && S_ISBLK(found.st_mode))
        sandbox_needs_read(needs, real);
    else
        add_parent(&needs->readable, real);
}

void
sandbox_needs_remove(SandboxNeeds *needs, const char *path)
{
    add_parent(&needs->removable, path);
}

void
sandbox_needs_remove_dir(SandboxNeeds *needs, const char *path)
{
    add_parent(&needs->emptied, path);
}

static void
read_all(SandboxNeeds *needs, const char *const *paths, gsize n_paths)
{
    for (gsize i = 0; i < n_paths; i++)
        sandbox_needs_read(needs, paths[i]);
}

static void
use_ip(SandboxNeeds *needs)
{
    if (!needs->uses_ip)
        read_all(needs, for_host_names, G_N_ELEMENTS(for_host_names));
    needs->uses_ip = TRUE;
}

void
sandbox_needs_any_server(SandboxNeeds *needs)
{
    use_ip(needs);
    needs->uses_unix = TRUE;
    needs->uses_vsock = TRUE;
    needs->any_server = TRUE;
}

static void
add_port(SandboxNeeds *needs, int port)
{
    guint64 number = port > 0 ? (guint64)port : g_ascii_strtoull(NBD_DEFAULT_PORT, NULL, 10);

    if (needs->ports == NULL)
        needs->ports = g_array_new(FALSE, FALSE, sizeof(guint64));
    g_array_append_val(needs->ports, number);
}

void
sandbox_needs_add_server(SandboxNeeds *needs, const char *uri)
{
    g_autofree char *scheme = g_uri_parse_scheme(uri);
    g_autoptr(GUri) parsed =
        g_uri_parse(uri, G_URI_FLAGS_NON_DNS | G_URI_FLAGS_PARSE_RELAXED, NULL);

    if (scheme != NULL && g_str_has_suffix(scheme, "+unix")) {
        needs->uses_unix = TRUE;
        return;
    }
    if (scheme != NULL && g_str_has_suffix(scheme, "+vsock")) {
        needs->uses_vsock = TRUE;
        return;
    }
    use_ip(needs);
    if (parsed != NULL)
        add_port(needs, g_uri_get_port(parsed));
    else
        needs->any_server = TRUE; /* such as a port that is the name of a service */
}

void
sandbox_needs_add_graph(SandboxNeeds *needs, StrataGraph *graph)
{
    for (guint i = 0; i < strata_graph_get_n_nodes(graph); i++) {
        StrataNode *node = strata_graph_get_node(graph, i);

        if (g_str_equal(strata_node_get_driver(node), "nbd"))
            sandbox_needs_add_server(needs, strata_node_get_filename(node));
    }
}

/* Commas stand between KEY=VALUE, and are doubled within. */
static void
add_dir_of_object(SandboxNeeds *needs, const char *object)
{
    static const char key[] = "dir=";
    g_auto(GStrv) words = NULL;
    g_autoptr(GString) text = g_string_new(object);

    g_string_replace(text, ",,", "\n", 0);
    words = g_strsplit(text->str, ",", -1);
    for (char **word = words; *word != NULL; word++)
        if (g_str_has_prefix(*word, key))
            sandbox_needs_read(needs, g_strdelimit(*word + strlen(key), "\n", ','));
}

void
sandbox_needs_add_objects(SandboxNeeds *needs, char **objects)
{
    for (; objects != NULL && *objects != NULL; objects++) {
        needs->has_keys = TRUE;
        if (g_str_has_prefix(*objects, "tls-creds-psk"))
            read_all(needs, for_user_names, G_N_ELEMENTS(for_user_names));
        add_dir_of_object(needs, *objects);
    }
}
