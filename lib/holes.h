/* SPDX-License-Identifier: LGPL-2.1-or-later
 * holes.h - which ranges of a host file are holes: found with SEEK_DATA and SEEK_HOLE where
 * somebody asks, and remembered while the file does not change. */
#ifndef STRATA_HOLES_H
#define STRATA_HOLES_H

#include <glib.h>

typedef struct _HoleMap HoleMap;

/* @fd: stays the caller's and must stay open. Its file position is used (lseek is the only way to
 * ask); nobody else may use it. @size: bytes of the file that matter. */
HoleMap *hole_map_new(int fd, guint64 size);
void hole_map_free(HoleMap *map);

/* One caller's view: what is remembered of one state of the file. Costs one fstat() and a lock, so
 * it is taken once for many lookups. Thread-safe. */
typedef struct _HoleView HoleView;
HoleView *hole_map_get_view(HoleMap *map);
void hole_view_free(HoleView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HoleView, hole_view_free)

/* Where the extent that holds byte @offset ends (beyond @offset, at most at the map's size), and
 * whether it is a hole. @offset must be below the map's size. */
guint64 hole_view_find(HoleView *view, guint64 offset, gboolean *out_is_hole);

#endif
