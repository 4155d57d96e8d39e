/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qcow2.h - what an open qcow2 node holds: node->state points to a Qcow2. */
#ifndef STRATA_QCOW2_H
#define STRATA_QCOW2_H

#include "header.h"

typedef struct _Qcow2Crypt Qcow2Crypt;

typedef struct {
    Qcow2Header *header; /* of the snapshot, where the spec names one: its L1 table and size */
    Qcow2Crypt *crypt;   /* NULL: the image is not encrypted */
    GAsyncQueue *idle_decompressors; /* compressed.c; NULL where none are kept */

    /* Why snapshots or bitmaps are not all there, for people; NULL where they are. */
    char *snapshots_damage;
    char *bitmaps_damage;
} Qcow2;

#endif
