/* SPDX-License-Identifier: LGPL-2.1-or-later
 * export.c - one export, and the table of all of them at one time. */
#include "export.h"

#include "open-graphs.h"
#include "protocol/proto.h"

#include <string.h>

Export *
export_new(const char *name)
{
    Export *export = g_new0(Export, 1);

    export->ref_count = 1;
    export->name = g_strdup(name);
    export->number = open_graphs_make_number();
    export->key = g_strdup_printf("export %" G_GUINT64_FORMAT, export->number);
    return export;
}

Export *
export_ref(Export *export)
{
    g_atomic_int_inc(&export->ref_count);
    return export;
}

void
export_unref(Export *export)
{
    if (!g_atomic_int_dec_and_test(&export->ref_count))
        return;
    g_free(export->name);
    g_free(export->description);
    g_clear_pointer(&export->access, access_rules_free);
    g_strfreev(export->bitmaps);
    g_clear_pointer(&export->graph, strata_graph_unref);
    g_clear_pointer(&export->image, image_free);
    g_clear_pointer(&export->directory, directory_unref);
    g_clear_pointer(&export->image_owner, export_unref);
    g_free(export->key);
    g_free(export->settings);
    g_free(export);
}

gboolean
export_admits(const Export *export, const Peer *peer)
{
    return access_rules_admit(export->access, peer) &&
           (export->image_owner == NULL || export_admits(export->image_owner, peer));
}

gboolean
export_open(Export *export, GError **error)
{
    if (export->on_demand)
        return TRUE;
    export->graph = image_open(export->image, error);
    return export->graph != NULL;
}

gboolean
export_check_string(const char *what, const char *text, GError **error)
{
    if (strlen(text) > NBD_MAX_STRING) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the %s is %zu bytes long, but the NBD protocol allows %d at most", what,
                    strlen(text), NBD_MAX_STRING);
        return FALSE;
    }
    if (!g_utf8_validate(text, -1, NULL)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the %s is not UTF-8, which the NBD protocol demands", what);
        return FALSE;
    }
    return TRUE;
}

ExportTable *
export_table_new(void)
{
    ExportTable *table = g_new0(ExportTable, 1);

    table->ref_count = 1;
    table->list = g_ptr_array_new_with_free_func((GDestroyNotify)export_unref);
    table->names = g_hash_table_new(g_str_hash, g_str_equal);
    return table;
}

ExportTable *
export_table_ref(ExportTable *table)
{
    g_atomic_int_inc(&table->ref_count);
    return table;
}

void
export_table_unref(ExportTable *table)
{
    if (!g_atomic_int_dec_and_test(&table->ref_count))
        return;
    g_hash_table_unref(table->names);
    g_ptr_array_unref(table->list);
    g_clear_pointer(&table->directory, directory_unref);
    g_free(table);
}

gboolean
export_table_add(ExportTable *table, Export *export, GError **error)
{
    g_autofree char *shown = strata_escape(export->name);

    if (!export_check_string("export name", export->name, error) ||
        (export->description != NULL &&
         !export_check_string("description", export->description, error)))
        return FALSE;
    if (g_hash_table_contains(table->names, export->name)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "there are two exports of the name \"%s\"; give each its own", shown);
        return FALSE;
    }
    g_ptr_array_add(table->list, export_ref(export));
    g_hash_table_insert(table->names, export->name, export);
    return TRUE;
}

Export *
export_table_find_own(const ExportTable *table, const Peer *peer, const char *name)
{
    Export *export = g_hash_table_lookup(table->names, name);

    return export != NULL && export_admits(export, peer) ? export_ref(export) : NULL;
}

Export *
export_table_find_file(const ExportTable *table, const Peer *peer, const char *name)
{
    Export *export;
    Image *image;

    if (table->directory == NULL || g_hash_table_contains(table->names, name) ||
        !directory_admits(table->directory, peer))
        return NULL;
    image = directory_find(table->directory, name);
    if (image == NULL)
        return NULL;
    export = export_new(name);
    export->image = image;
    export->directory = directory_ref(table->directory);
    g_free(export->key);
    export->key = directory_make_key(table->directory, name);
    return export;
}
