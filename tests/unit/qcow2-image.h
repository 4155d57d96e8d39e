/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qcow2-image.h - qcow2 images put together in memory, entry by entry, for tests. */
#ifndef TESTS_QCOW2_IMAGE_H
#define TESTS_QCOW2_IMAGE_H

#include "mem-node.h"

/* Cluster 0 is the header, the L1 table follows; L2 tables come as they are needed. */
typedef struct {
    GByteArray *bytes;
    guint cluster_bits;
    guint entry_bytes; /* 8, or 16 with extended L2 entries */
    guint64 l1_offset;
} Qcow2Image;

/* A valid image without clusters. @incompatible, @autoclear: version 3 only. */
Qcow2Image *qcow2_image_new(guint version, guint cluster_bits, guint64 size, guint64 incompatible,
                            guint64 autoclear);
void qcow2_image_free(Qcow2Image *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Image, qcow2_image_free)

/* Any number anywhere; the image must be that long. */
void qcow2_image_put32(Qcow2Image *image, guint64 at, guint32 value);
void qcow2_image_put64(Qcow2Image *image, guint64 at, guint64 value);
guint64 qcow2_image_get64(const Qcow2Image *image, guint64 at);
void qcow2_image_put_text(Qcow2Image *image, guint64 at, const char *text);

/* Puts a header extension at @at; returns where the next one goes. */
guint64 qcow2_image_put_extension(Qcow2Image *image, guint64 at, guint32 type, const void *data,
                                  guint32 length);

/* Where in the image the L1 entry or the L2 entry for @guest stands; the latter makes the table. */
guint64 qcow2_image_l1_at(const Qcow2Image *image, guint64 guest);
guint64 qcow2_image_l2_at(Qcow2Image *image, guint64 guest);

/* @bitmap: with extended L2 entries. */
void qcow2_image_set_entry(Qcow2Image *image, guint64 guest, guint64 entry, guint64 bitmap);

/* A graph whose top is a qcow2 node on @storage, opened by the driver itself; or NULL with @error.
 * @data_file, @backing: nullable. Takes all three nodes over. */
StrataGraph *qcow2_graph_new(StrataNode *storage, StrataNode *data_file, StrataNode *backing,
                             GError **error);

/* The same at a snapshot of the image: its ID or name. */
StrataGraph *qcow2_graph_new_at(StrataNode *storage, StrataNode *data_file, StrataNode *backing,
                                const char *snapshot, GError **error);

/* Today's disk, over the image's bytes as they stand now. */
StrataGraph *qcow2_image_open(const Qcow2Image *image, StrataNode *data_file, StrataNode *backing,
                              GError **error);

#endif
