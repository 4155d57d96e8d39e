/* SPDX-License-Identifier: LGPL-2.1-or-later
 * describe.c - what an export is, in a line of bounded length. */
#include "describe.h"

#include "engine.h"

/* Long chains are told as far as a person would read. */
#define MAX_DESCRIPTION 1024

/* A raw node that is no layer looks through to what stands below it. */
static const char *
describe_kind(StrataNode *node, GHashTable *layers)
{
    const char *driver = strata_node_get_driver(node);
    gboolean window = g_str_equal(driver, "raw") && !g_hash_table_contains(layers, node);

    return window ? "raw window" : driver;
}

char *
exports_describe_chain(StrataNode *node)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(node);
    g_autoptr(GPtrArray) layers = strata_node_list_layers(node);
    g_autoptr(GHashTable) is_layer = g_hash_table_new(NULL, NULL);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < layers->len; i++)
        g_hash_table_add(is_layer, layers->pdata[i]);
    for (guint i = 0; i < path->len; i++) {
        StrataNode *step = g_ptr_array_index(path, i);

        if (i > 0)
            g_string_append(text, " > ");
        if (text->len > MAX_DESCRIPTION) {
            g_string_append_printf(text, "%u more", path->len - i);
            break;
        }
        g_string_append_printf(text, "%s (%s)", strata_node_get_name(step),
                               describe_kind(step, is_layer));
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* In UTC, so that the words do not depend on where the server runs. */
static char *
describe_date(const StrataSnapshot *snapshot)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(snapshot->date_sec);

    return date != NULL ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S UTC")
                        : g_strdup("an unknown date");
}

char *
describe_snapshot(StrataNode *node, const StrataSnapshot *snapshot)
{
    g_autofree char *chain = exports_describe_chain(node);
    g_autofree char *date = describe_date(snapshot);
    g_autofree char *id = strata_escape(snapshot->id);
    g_autofree char *name = strata_escape(snapshot->name);

    return g_strdup_printf("snapshot '%s' (ID %s) of %s: %s", name, id, date, chain);
}
