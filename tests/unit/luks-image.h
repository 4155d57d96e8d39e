/* SPDX-License-Identifier: LGPL-2.1-or-later
 * luks-image.h - a LUKS image put together in memory, for tests. */
#ifndef TESTS_LUKS_IMAGE_H
#define TESTS_LUKS_IMAGE_H

#include <glib.h>

#define LUKS_IMAGE_PASSPHRASE "open sesame"
#define LUKS_IMAGE_SLOT       3 /* the one that is active; it has 3 stripes in one sector */
#define LUKS_IMAGE_MATERIAL   4096
#define LUKS_IMAGE_PAYLOAD    8192

/* aes-128-xts-plain64, sha256; @content: whole sectors. */
GByteArray *luks_image_new(const guint8 *content, gsize size);

/* A number of the header. */
void luks_image_put32(GByteArray *image, guint at, guint32 value);

#endif
