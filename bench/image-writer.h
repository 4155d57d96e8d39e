/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image-writer.h - writes one layer of a made chain as a qcow2 file. */
#ifndef BENCH_IMAGE_WRITER_H
#define BENCH_IMAGE_WRITER_H

#include "image-content.h"

typedef struct {
    const Plan *plan;
    const Content *content;
    Compression compression;
    gboolean shared; /* data: a few host clusters, to which all L2 entries point */
} Shape;

/* Writes @layer to @path, over @backing (a name, or NULL) of @backing_format. Ends the program
 * where that fails. */
void writer_write_layer(const Shape *shape, guint layer, const char *path, const char *backing,
                        const char *backing_format);

/* Writes what a guest sees of the whole chain to @path, plainly. Zeros become holes. */
void writer_write_flat(const Shape *shape, const char *path);

#endif
