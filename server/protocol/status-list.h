/* SPDX-License-Identifier: LGPL-2.1-or-later
 * status-list.h - lists of extents, one per context, in the form in which they are sent. */
#ifndef STRATA_STATUS_LIST_H
#define STRATA_STATUS_LIST_H

#include "contexts.h"
#include "proto.h"

#include <sys/uio.h>

/* The memory for the extents of one reply, which its lists take in pieces of one size:
 *
 *      [ 1st of allocation ][ 1st of depth ][ 2nd of depth ][ 3rd of depth ][ free ...
 *
 * so that each gets as much as it needs, nothing is ever moved, and the next reply finds the same
 * memory where the processor still has it. */
typedef struct {
    guint8 *next;     /* the first that is free */
    gsize piece_size; /* in bytes */
    guint n_free;     /* pieces */
    guint n_kept;     /* how many of them are for lists that are made later */
} StatusMemory;

typedef struct _StatusPiece StatusPiece;

/* The extents of one context. */
typedef struct {
    const Context *context;
    guint32 id; /* of the context, for the client */
    StatusMemory *memory;
    gboolean is_wide; /* made of NbdExtExtent; else of NbdExtent */
    guint n_extents;
    guint limit;    /* on how many there may be */
    gboolean full;  /* there was no room for a further extent: the list has ended */
    guint64 length; /* of the last extent, in the machine's order, as is the next */
    guint64 value;
    StrataNode *leaf;          /* of a context of places: where the last extent lies, or NULL */
    StatusPiece *first, *last; /* all but the last are full */
    guint8 *at;                /* the last extent, or what is before the first of a new piece */
    guint room;                /* for how many extents more there is room in the last piece */
} StatusList;

/* How many bytes a piece needs that holds @n_extents; how many extents a piece of @memory holds. */
gsize status_piece_size(guint n_extents, gboolean is_wide);
guint status_memory_piece_holds(const StatusMemory *memory, gboolean is_wide);

/* @memory: of @size bytes, for a pointer's alignment; outlives the lists */
void status_memory_init(StatusMemory *self, gpointer memory, gsize size, gsize piece_size);

/* Takes a piece, of which there has to be one. The list needs no clearing. */
void status_list_init(StatusList *list, const Context *context, guint32 id, StatusMemory *memory,
                      gboolean is_wide, guint limit);

/* Adds what follows the extents so far, as the list's context has it. What has the last extent's
 * value makes that one longer; a run of places does where it goes on in the same leaf. Nothing is
 * added to a list that is full. */
void status_list_add(StatusList *list, const ContextExtent *extents, gsize n);
void status_list_add_runs(StatusList *list, const StrataRun *runs, gsize n_runs);

/* Asks a context that tells of ranges itself, and adds what it says of the bytes from *@offset on;
 * *@offset is moved to where that ends, not past @end. Returns how many extents it told, or 0 with
 * @error set if not even the first byte can be told. */
gsize status_list_ask(StatusList *list, guint64 *offset, guint64 end, GError **error);

/* How many pieces the list has; and those, as they are sent. */
guint status_list_count_pieces(const StatusList *list);
void status_list_get_pieces(const StatusList *list, struct iovec *out_pieces);

#endif
