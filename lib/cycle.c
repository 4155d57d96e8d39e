/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cycle.c - headers that lead back to where they began. */
#include "cycle.h"

#include "error.h"
#include "node.h"
#include "spec.h"

static gboolean
reads_header(StrataNode *node)
{
    return node->driver && node->driver->optional_roles & 1 << STRATA_ROLE_BACKING;
}

/* The header of a node that reads one lies at byte 0 of its file; where that is, inside another
 * image, nobody knows. */
static const StrataPlace *
header_place(StrataNode *node)
{
    StrataNode *file = node->children[STRATA_ROLE_FILE];

    return reads_header(node) && file && !reads_header(file) && file->place.known ? &file->place
                                                                                  : NULL;
}

static gboolean
same_place(gconstpointer left, gconstpointer right)
{
    const StrataPlace *a = left, *b = right;

    return a->device == b->device && a->inode == b->inode && a->offset == b->offset;
}

/* Files of one graph mostly have numbers in a row. */
static guint
hash_place(gconstpointer data)
{
    const StrataPlace *place = data;

    return (guint)place->inode ^ (guint)place->device * 31 ^ (guint)(place->offset >> 9) * 131;
}

GHashTable *
cycle_places_new(void)
{
    return g_hash_table_new(hash_place, same_place);
}

gboolean
cycle_places_have(GHashTable *places, StrataNode *node)
{
    const StrataPlace *place = header_place(node);

    return place && !g_hash_table_add(places, (gpointer)place);
}

/* "'a' -> 'b' -> 'a'": the files from @ancestor down to @node. */
static char *
describe_cycle(StrataNode *ancestor, StrataNode *node)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (StrataNode *step = node;; step = step->parent) {
        const char *filename = spec_get_text(spec_get_leaf(step->spec), "filename");
        g_autofree char *shown = strata_escape(filename ? filename : step->driver->name);
        g_autofree char *part = g_strdup_printf("'%s'%s", shown, text->len ? " -> " : "");

        if (header_place(step))
            g_string_prepend(text, part);
        if (step == ancestor)
            return g_string_free(g_steal_pointer(&text), FALSE);
    }
}

/* Only headers can make an endless graph, and only by reading the same header again. A cycle that
 * hides in nested images, where places are not known, ends at STRATA_MAX_NODES. */
gboolean
cycle_check(StrataNode *node, GError **error)
{
    const StrataPlace *place = header_place(node);

    for (StrataNode *up = place ? node->parent : NULL; up; up = up->parent) {
        const StrataPlace *other = header_place(up);

        if (other && same_place(place, other)) {
            g_autofree char *cycle = describe_cycle(up, node);

            return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                                "the headers of these images lead back to where they began: %s; "
                                "\"backing\": null for one of them ends the chain there",
                                cycle);
        }
    }
    return TRUE;
}
