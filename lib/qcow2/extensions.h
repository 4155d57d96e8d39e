/* SPDX-License-Identifier: LGPL-2.1-or-later
 * extensions.h - the header extensions of a qcow2 image, one after the other. */
#ifndef STRATA_QCOW2_EXTENSIONS_H
#define STRATA_QCOW2_EXTENSIONS_H

#include "driver.h"

typedef struct {
    guint32 type;
    guint32 length; /* bytes of data; they lie within the area */
    guint64 offset; /* of the data, in the file */
} Qcow2Extension;

/* The beginning of an image, read at once: all that a header has mostly lies in it. */
typedef struct {
    StrataNode *storage; /* in which the header lies */
    gsize length;        /* of what was read */
    guint8 bytes[1024];
} Qcow2Head;

/* Reads what there is. If that fails, all is read when it is asked for: it may be the rest alone
 * that cannot be read. */
void qcow2_head_init(Qcow2Head *head, StrataNode *storage);

/* As strata_node_read(). */
gboolean qcow2_head_read(const Qcow2Head *head, guint64 offset, gsize length, gpointer buffer,
                         GError **error);

/* Where a walk over the extension area stands. */
typedef struct {
    StrataNode *node; /* whose header it is, for messages */
    const Qcow2Head *head;
    guint64 offset; /* of the next extension; at first the end of the header */
    guint64 end;    /* of the area: the backing file's name, else the first cluster's end */
    guint n_seen;
} Qcow2Extensions;

/* The next one; at the end of the area its type is QCOW2_EXTENSION_END. Fails with DAMAGED, LIMIT,
 * or what reading gave. */
gboolean qcow2_extensions_next(Qcow2Extensions *walk, Qcow2Extension *out, GError **error);

#endif
