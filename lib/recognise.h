/* SPDX-License-Identifier: LGPL-2.1-or-later
 * recognise.h - the format of an image, when nobody says it and somebody may guess. */
#ifndef STRATA_RECOGNISE_H
#define STRATA_RECOGNISE_H

#include <strata/graph.h>

/* "qcow2" and "luks" by their magic, "raw" for what looks like no image format at all; NULL with
 * @error (UNSUPPORTED) for a format that strata does not read, whose bytes nobody wants as a disk.
 * Only for an image that the user names, and where the user lets formats be guessed
 * (strata_policy_set_probe()). @file: the image's open child in that role. */
const char *recognise_format(StrataNode *file, GError **error);

#endif
