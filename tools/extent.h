/* SPDX-License-Identifier: LGPL-2.1-or-later
 * extent.h - one range of a map as the tool shows it, wherever it was learnt from. */
#ifndef STRATA_TOOL_EXTENT_H
#define STRATA_TOOL_EXTENT_H

#include <strata/strata.h>

typedef enum {
    CONTENT_UNKNOWN, /* a remote server that does not tell */
    CONTENT_DATA,
    CONTENT_ZERO,
    CONTENT_ERROR, /* cannot be told, or not be read: see .message */
    CONTENT_DIRTY, /* these two of a bitmap: written to since, or not */
    CONTENT_CLEAN,
} Content;

#define EXTENT_UNKNOWN (-1) /* of .depth and .layer */

typedef struct {
    guint64 offset; /* bytes, in the image */
    guint64 length; /* bytes, never 0 */
    Content content;
    gint64 depth;        /* 0 nobody, or EXTENT_UNKNOWN */
    gint64 layer;        /* 0 nobody, n the nth of MapSource.layers (or beyond, if a server says
                            so), or EXTENT_UNKNOWN */
    guint flags;         /* StrataRunFlags; ZERO in agreement with .content */
    StrataNode *leaf;    /* NULL where the bytes lie in no leaf, or a remote does not tell */
    guint64 leaf_offset; /* bytes, in .leaf */
    const char *message; /* CONTENT_ERROR: escaped, valid during the call that hands it over */
} Extent;

/* Takes an extent; says whether more are wanted. */
typedef gboolean (*ExtentSink)(const Extent *extent, gpointer data);

/* Joins neighbours that differ in nothing that is shown, and passes them on. Holds one extent,
 * whatever the size of the map. */
typedef struct {
    gboolean by_leaf; /* whether .leaf and .leaf_offset are shown */
    ExtentSink sink;
    gpointer data; /* for .sink */
    Extent pending;
    gboolean has_pending;
} ExtentMerger;

/* An ExtentSink; @merger is an ExtentMerger. */
gboolean extent_merger_add(const Extent *extent, gpointer merger);

/* Passes on what is still held: at the end of the map. */
gboolean extent_merger_flush(ExtentMerger *merger);

#endif
