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

typedef struct _HoleList HoleList;
typedef struct _HoleBlock HoleBlock;

/* One caller's view: what is remembered of one state of the file. Its fields are private. */
typedef struct {
    HoleMap *map;
    HoleList *list;   /* referenced */
    HoleBlock *block; /* referenced, NULL at first: the block of the last answer... */
    guint extent;     /* ... and which extent of it: questions mostly ascend */
} HoleView;

/* @state: as changes_get_state() has just told it: while it is the same, the file is taken to be
 * the same; 0: it is examined now, which costs a system call. Thread-safe. */
void hole_view_open(HoleView *view, HoleMap *map, guint state);
void hole_view_clear(HoleView *view);

/* Examines the file. Returns whether the view holds; else it is a new one, and what it said has to
 * be asked again. @state: as for hole_view_open() */
gboolean hole_view_renew(HoleView *view, guint state);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HoleView, hole_view_clear)

/* Where the extent that holds byte @offset ends (beyond @offset, at most at the map's size), and
 * whether it is a hole. @offset must be below the map's size. */
guint64 hole_view_find(HoleView *view, guint64 offset, gboolean *out_is_hole);

#endif
