/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image.h - opening what the command line names. */
#ifndef STRATA_IMAGE_H
#define STRATA_IMAGE_H

#include <strata/strata.h>

#include "options.h"

/* Opens the image as the options say: under their policy, at their snapshot, with their bitmaps.
 * Blocks on disk. */
StrataGraph *image_open(const Options *options, GError **error);

#endif
