/* SPDX-License-Identifier: LGPL-2.1-or-later
 * compare.c - whether an image that somebody wrote to is still the one that was opened.
 *
 * A writer allocates clusters, marks the image dirty, makes snapshots: tables change, and where
 * they begin does not. What was concluded from the header when it was opened must not change; for
 * the names in it that is so only where they are what was opened. */
#include "compare.h"

#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "bitmaps.h"
#include "error.h"
#include "node.h"
#include "spec.h"

#define OPEN_AGAIN "; open it again"

static gboolean
throw_number(StrataNode *node, const char *what, guint64 before, guint64 now, GError **error)
{
    return strata_throw(error, node, STRATA_ERROR_CHANGED,
                        "the image was changed while it was open: %s was 0x%" G_GINT64_MODIFIER
                        "x and is 0x%" G_GINT64_MODIFIER "x" OPEN_AGAIN,
                        what, before, now);
}

static gboolean
throw_text(StrataNode *node, const char *what, const char *before, const char *now, GError **error)
{
    g_autofree char *shown_before = strata_escape(before ? before : "");
    g_autofree char *shown_now = strata_escape(now ? now : "");

    return strata_throw(
        error, node, STRATA_ERROR_CHANGED,
        "the image was changed while it was open: %s was '%s' and is '%s'" OPEN_AGAIN, what,
        shown_before, shown_now);
}

static gboolean
compare_numbers(StrataNode *node, const Qcow2Header *before, const Qcow2Header *now, GError **error)
{
    const struct {
        const char *what;
        guint64 before, now;
    } numbers[] = {
        { "its version", before->version, now->version },
        { "its cluster size (as a power of 2)", before->cluster_bits, now->cluster_bits },
        { "its virtual size", before->size, now->size },
        { "the offset of its L1 table", before->l1_offset, now->l1_offset },
        { "the number of its L1 entries", before->l1_entries, now->l1_entries },
        { "the flag for extended L2 entries", before->extended_l2, now->extended_l2 },
        { "the flag for an external data file", before->has_data_file, now->has_data_file },
        { "its method of encryption", before->crypt_method, now->crypt_method },
        { "the offset of its LUKS header", before->luks_offset, now->luks_offset },
        { "its compression type", before->compression_type, now->compression_type },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (numbers[i].before != numbers[i].now)
            return throw_number(node, numbers[i].what, numbers[i].before, numbers[i].now, error);
    return TRUE;
}

/* Whether what stands below in that role, or that nothing does, came from the header. */
static gboolean
is_by_header(StrataNode *node, StrataRole role)
{
    StrataNode *child = node->children[role];

    if (child)
        return child->spec && spec_is_from_header(spec_get_leaf(child->spec));
    return !(role == STRATA_ROLE_BACKING && node->spec && spec_is_without_backing(node->spec));
}

static gboolean
compare_names(StrataNode *node, const Qcow2Header *before, const Qcow2Header *now, GError **error)
{
    const struct {
        StrataRole role;
        const char *what;
        const char *before, *now;
    } names[] = {
        { STRATA_ROLE_DATA_FILE, "its data file", before->data_file_name, now->data_file_name },
        { STRATA_ROLE_BACKING, "its backing file", before->backing_name, now->backing_name },
        { STRATA_ROLE_BACKING, "the format of its backing file", before->backing_format,
          now->backing_format },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (is_by_header(node, names[i].role) && g_strcmp0(names[i].before, names[i].now) != 0)
            return throw_text(node, names[i].what, names[i].before, names[i].now, error);
    return TRUE;
}

gboolean
qcow2_compare_headers(StrataNode *node, const Qcow2Header *before, const Qcow2Header *now,
                      GError **error)
{
    return compare_numbers(node, before, now, error) && compare_names(node, before, now, error);
}

static gboolean
is_same_bitmap(const StrataBitmap *bitmap, const StrataBitmap *now)
{
    const Qcow2BitmapPlace *place = bitmap->data, *place_now = now->data;

    return bitmap->granularity == now->granularity && bitmap->is_consistent == now->is_consistent &&
           place->table_offset == place_now->table_offset &&
           place->n_entries == place_now->n_entries;
}

static int
compare_bitmap_names(gconstpointer a, gconstpointer b)
{
    const StrataBitmap *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

/* An image may have 65535 bitmaps, in whatever order, and with names that collide in a hash table:
 * so they are put in order, and searched by halves. */
static GPtrArray *
sort_by_name(GPtrArray *bitmaps)
{
    GPtrArray *sorted = g_ptr_array_new();

    if (bitmaps)
        g_ptr_array_extend(sorted, bitmaps, NULL, NULL);
    g_ptr_array_sort(sorted, compare_bitmap_names);
    return sorted;
}

static const StrataBitmap *
find_namesake(GPtrArray *sorted, const StrataBitmap *bitmap)
{
    StrataBitmap **found = sorted->len == 0 ? NULL
                                            : bsearch(&bitmap, sorted->pdata, sorted->len,
                                                      sizeof *sorted->pdata, compare_bitmap_names);

    return found ? *found : NULL;
}

static void
mark_changed(StrataBitmap *bitmap)
{
    g_autofree char *shown = strata_escape(bitmap->name);
    GError *fault = NULL;

    strata_throw(&fault, bitmap->node, STRATA_ERROR_CHANGED,
                 "bitmap '%s' was changed while the image was open" OPEN_AGAIN, shown);
    g_atomic_pointer_set(&bitmap->fault, fault);
}

void
qcow2_compare_bitmaps(StrataNode *node, GPtrArray *now)
{
    g_autoptr(GPtrArray) sorted = sort_by_name(now);

    for (guint i = 0; node->bitmaps && i < node->bitmaps->len; i++) {
        StrataBitmap *bitmap = node->bitmaps->pdata[i];
        const StrataBitmap *other = find_namesake(sorted, bitmap);

        if (!g_atomic_pointer_get(&bitmap->fault) && !(other && is_same_bitmap(bitmap, other)))
            mark_changed(bitmap);
    }
}
