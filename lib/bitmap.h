/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmap.h - the struct behind StrataBitmap, which a driver's open() fills in. */
#ifndef STRATA_LIB_BITMAP_H
#define STRATA_LIB_BITMAP_H

#include <strata/bitmap.h>

struct _StrataBitmap {
    StrataNode *node; /* that keeps it; not owned */
    char *name;       /* valid UTF-8, not empty */
    guint64 granularity;
    gboolean is_enabled;
    gboolean is_consistent;
    const char *damage; /* (nullable) static; what is wrong with how the image describes it, as the
                           end of a sentence; it is not consistent then */
    gpointer data;      /* the driver's own */
    GDestroyNotify free_data;
    GError *fault; /* (nullable) atomic pointer, set at most once, when a file has changed: it no
                      longer is what it was when it was opened */
};

/* Appends an empty bitmap of that name (copied) to node->bitmaps, which is made if there is none.
 */
StrataBitmap *bitmap_add(StrataNode *node, const char *name);

/* name -> StrataBitmap, neither owned. Not a hash table: names come from images, and may be made to
 * collide. */
GTree *bitmap_names_new(void);

#endif
