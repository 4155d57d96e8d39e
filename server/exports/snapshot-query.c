/* SPDX-License-Identifier: LGPL-2.1-or-later
 * snapshot-query.c - which snapshot --load-snapshot means. */
#include "snapshot-query.h"

#include <string.h>

void
snapshot_query_clear(SnapshotQuery *query)
{
    g_clear_pointer(&query->id_or_name, g_free);
    g_clear_pointer(&query->id, g_free);
    g_clear_pointer(&query->name, g_free);
}

/* Takes "WORD" off the front of @text, up to a comma that stands alone. */
static char *
take_word(const char **text)
{
    g_autoptr(GString) word = g_string_new(NULL);
    const char *at = *text;

    for (; *at != '\0'; at++) {
        if (*at == ',' && *++at != ',')
            break;
        g_string_append_c(word, *at);
    }
    *text = at;
    return g_string_free(g_steal_pointer(&word), FALSE);
}

/* The last use of a key counts, as with qemu-nbd. Returns whether @word is one of the keys, with a
 * value. */
static gboolean
take_value(const char *word, const char *key, char **member)
{
    gsize length = strlen(key);

    if (!g_str_has_prefix(word, key) || word[length] == '\0')
        return FALSE;
    g_free(*member);
    *member = g_strdup(word + length);
    return TRUE;
}

gboolean
snapshot_query_parse(SnapshotQuery *query, const char *text, GError **error)
{
    if (!g_str_has_prefix(text, "snapshot.")) {
        query->id_or_name = g_strdup(text);
        return TRUE;
    }
    while (*text != '\0') {
        g_autofree char *word = take_word(&text);
        g_autofree char *shown = strata_escape(word);

        if (take_value(word, "snapshot.id=", &query->id) ||
            take_value(word, "snapshot.name=", &query->name))
            continue;
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "--load-snapshot takes snapshot.id=ID, snapshot.name=NAME or both, not '%s'",
                    shown);
        return FALSE;
    }
    return TRUE;
}

const StrataSnapshot *
snapshot_query_find(const SnapshotQuery *query, StrataNode *node)
{
    gsize n;
    const StrataSnapshot *snapshots = strata_node_get_snapshots(node, &n);

    if (query->id_or_name != NULL)
        return strata_node_find_snapshot(node, query->id_or_name);
    for (gsize i = 0; i < n; i++)
        if ((query->id == NULL || g_str_equal(snapshots[i].id, query->id)) &&
            (query->name == NULL || g_str_equal(snapshots[i].name, query->name)))
            return &snapshots[i];
    return NULL;
}
