/* SPDX-License-Identifier: LGPL-2.1-or-later
 * describe-remote.c - what "strata info" tells of an export of an NBD server. */
#include "describe.h"

#include <stdlib.h>

#include "remote.h"

static void
describe_add_names(GVariantBuilder *builder, const char *key, GPtrArray *names)
{
    GVariantBuilder list;

    g_variant_builder_init(&list, G_VARIANT_TYPE_STRING_ARRAY);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *valid = g_utf8_make_valid(g_ptr_array_index(names, i), -1);

        g_variant_builder_add(&list, "s", valid);
    }
    g_variant_builder_add(builder, "{sv}", key, g_variant_builder_end(&list));
}

/* libnbd hands over memory of malloc(); NULL where the server did not tell. */
static void
describe_add_told(GVariantBuilder *builder, const char *key, char *told)
{
    if (told != NULL && *told != '\0')
        describe_add_text(builder, key, told);
    free(told);
}

typedef struct {
    GVariantBuilder list; /* aa{sv} */
    guint n_kept;
} ExportList;

static int
describe_keep_export(void *user_data, const char *name, const char *description)
{
    ExportList *exports = user_data;
    GVariantBuilder export;

    if (exports->n_kept >= REMOTE_MAX_NAMES)
        return 0;
    exports->n_kept++;
    g_variant_builder_init(&export, G_VARIANT_TYPE_VARDICT);
    describe_add_text(&export, "name", name);
    if (*description != '\0')
        describe_add_text(&export, "description", description);
    g_variant_builder_add_value(&exports->list, g_variant_builder_end(&export));
    return 0;
}

/* A server need not list its exports: then the list is empty. A full reference. */
static GVariant *
describe_list_exports(RemoteHandle *nbd)
{
    ExportList exports = { .n_kept = 0 };

    g_variant_builder_init(&exports.list, G_VARIANT_TYPE("aa{sv}"));
    if (nbd_aio_is_negotiating(nbd)) {
        nbd_opt_list(
            nbd, (nbd_list_callback){ .callback = describe_keep_export, .user_data = &exports });
    }
    return g_variant_ref_sink(g_variant_builder_end(&exports.list));
}

static void
describe_add_flags(GVariantBuilder *builder, RemoteHandle *nbd)
{
    static const struct {
        const char *name;
        int (*is_set)(RemoteHandle *nbd);
    } flags[] = {
        { "read-only", nbd_is_read_only },
        { "multi-conn", nbd_can_multi_conn },
        { "rotational", nbd_is_rotational },
        { "flush", nbd_can_flush },
        { "fua", nbd_can_fua },
        { "trim", nbd_can_trim },
        { "zero", nbd_can_zero },
        { "fast-zero", nbd_can_fast_zero },
        { "df", nbd_can_df },
        { "cache", nbd_can_cache },
    };
    GVariantBuilder list;

    g_variant_builder_init(&list, G_VARIANT_TYPE_STRING_ARRAY);
    for (guint i = 0; i < G_N_ELEMENTS(flags); i++)
        if (flags[i].is_set(nbd) == 1)
            g_variant_builder_add(&list, "s", flags[i].name);
    g_variant_builder_add(builder, "{sv}", "flags", g_variant_builder_end(&list));
}

static void
describe_add_block_sizes(GVariantBuilder *builder, RemoteHandle *nbd)
{
    static const char *const kinds[] = {
        [LIBNBD_SIZE_MINIMUM] = "minimum",
        [LIBNBD_SIZE_PREFERRED] = "preferred",
        [LIBNBD_SIZE_MAXIMUM] = "maximum",
    };
    GVariantBuilder sizes;
    g_autoptr(GVariant) told = NULL;

    g_variant_builder_init(&sizes, G_VARIANT_TYPE_VARDICT);
    for (guint kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
        int64_t size = nbd_get_block_size(nbd, (int)kind);

        if (size > 0) /* 0: the server does not tell */
            g_variant_builder_add(&sizes, "{sv}", kinds[kind], g_variant_new_uint64((guint64)size));
    }
    told = g_variant_ref_sink(g_variant_builder_end(&sizes));
    if (g_variant_n_children(told) > 0)
        g_variant_builder_add(builder, "{sv}", "block-size", told);
}

static void
describe_add_export(GVariantBuilder *builder, RemoteHandle *nbd, gint64 size)
{
    describe_add_told(builder, "export", nbd_get_canonical_export_name(nbd));
    describe_add_told(builder, "description", nbd_get_export_description(nbd));
    g_variant_builder_add(builder, "{sv}", "size", g_variant_new_uint64((guint64)size));
    describe_add_flags(builder, nbd);
    describe_add_block_sizes(builder, nbd);
}

GVariant *
describe_remote(const char *uri, GError **error)
{
    static const char *const no_contexts[] = { NULL };
    g_autoptr(RemoteHandle) nbd = remote_connect(uri, error);
    g_autoptr(GVariant) exports = NULL;
    g_autoptr(GPtrArray) contexts = NULL;
    g_autoptr(GPtrArray) layers = NULL;
    GVariantBuilder info;
    gint64 size;

    if (nbd == NULL)
        return NULL;
    exports = describe_list_exports(nbd);
    contexts = remote_list_contexts(nbd);
    layers = remote_list_layers(contexts);
    if (!remote_enter(nbd, no_contexts, error))
        return NULL;
    size = nbd_get_size(nbd);
    if (size < 0) {
        remote_throw(error, "cannot learn the size of the export");
        return NULL;
    }
    g_variant_builder_init(&info, G_VARIANT_TYPE_VARDICT);
    describe_add_text(&info, "uri", uri);
    describe_add_export(&info, nbd, size);
    describe_add_names(&info, "layers", layers);
    describe_add_names(&info, "contexts", contexts);
    g_variant_builder_add(&info, "{sv}", "exports", exports);
    nbd_shutdown(nbd, 0);
    return g_variant_ref_sink(g_variant_builder_end(&info));
}
