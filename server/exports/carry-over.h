/* SPDX-License-Identifier: LGPL-2.1-or-later
 * carry-over.h - what an export that is made anew has from the one of its name before it. */
#ifndef STRATA_CARRY_OVER_H
#define STRATA_CARRY_OVER_H

#include "export.h"

/* Takes over what is open of @before, or would be open on demand, if @export is described as that
 * image and the files are the same. Returns whether that is so. */
gboolean carry_over_unchanged(Export *export, const Export *before);

/* For an @export whose own image does not open: it goes on with the image of @before. An image is
 * not shown to more than its own rules let see it, and not to whom the new ones keep out: who gets
 * it, whether its layers are told, and which bitmaps, is what both have said. Returns FALSE if
 * nothing is open of @before. */
gboolean carry_over_image(Export *export, Export *before);

#endif
