/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image.h - an image that is to be served: what it is made of and how it may be opened. */
#ifndef STRATA_IMAGE_H
#define STRATA_IMAGE_H

#include <strata/strata.h>

/* In the words of the command line or of a configuration file. All text may be NULL: not given. */
typedef struct {
    const char *image;
    const char *format;
    gboolean image_opts;   /* image is "driver=...,..." */
    const char *directory; /* what relative file names begin at; NULL: the current directory */
    const char *load_snapshot;
    char **bitmaps; /* that have to be there */

    const char *snapshot_word; /* what messages call load_snapshot: "--load-snapshot" */
    const char *bitmaps_word;  /* and bitmaps */
} ImageSettings;

/* Immutable, so that threads may share it. */
typedef struct _Image Image;

/* Reads what the settings say, and opens nothing. The words of messages have to outlive it. */
Image *image_new(const ImageSettings *settings, StrataPolicy *policy, GError **error);
void image_free(Image *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Image, image_free)

/* Opens it: under its policy, at its snapshot, with its bitmaps. Blocks on disk. */
StrataGraph *image_open(const Image *image, GError **error);

/* Returns: (transfer full): the files that the settings name */
char **image_list_filenames(const Image *image);

#endif
