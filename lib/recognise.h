/* SPDX-License-Identifier: LGPL-2.1-or-later
 * recognise.h - the format of the user's own image, when the user does not say it. */
#ifndef STRATA_RECOGNISE_H
#define STRATA_RECOGNISE_H

#include <strata/graph.h>

/* "qcow2" by its magic, "raw" for what looks like no image format at all; NULL with @error
 * (UNSUPPORTED) for a format that strata does not read, whose bytes nobody wants as a disk. Only
 * for an image that the user names: what a header names is never guessed. @file: the open leaf. */
const char *recognise_format(StrataNode *file, GError **error);

#endif
