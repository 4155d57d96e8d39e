/* SPDX-License-Identifier: LGPL-2.1-or-later
 * recognise.c - the format of an image, when nobody says it and somebody may guess. */
#include "recognise.h"

#include <string.h>

#include "error.h"
#include "node.h"

/* What the table below looks at lies in here. */
#define HEAD_BYTES 512

typedef struct {
    const char *format;
    gsize offset;
    gsize length;
    const char *magic;
    gboolean is_ours;
} Magic;

#define MAGIC(format, offset, magic, is_ours)             \
    {                                                     \
        format, offset, sizeof(magic) - 1, magic, is_ours \
    }

/* The first bytes that the formats' own specifications give. A qcow2 of version 1, which is a
 * format of its own, is left to the qcow2 driver to refuse by its version. */
static const Magic magics[] = {
    MAGIC("qcow2", 0, "QFI\xfb", TRUE),
    MAGIC("vmdk", 0, "KDMV", FALSE),
    MAGIC("vmdk", 0, "COWD", FALSE),
    MAGIC("vmdk", 0, "# Disk DescriptorFile", FALSE),
    MAGIC("vdi", 0x40, "\x7f\x10\xda\xbe", FALSE),
    MAGIC("vpc (VHD)", 0, "conectix", FALSE),
    MAGIC("vhdx", 0, "vhdxfile", FALSE),
    MAGIC("qed", 0, "QED\0", FALSE),
    MAGIC("parallels", 0, "WithoutFreeSpace", FALSE),
    MAGIC("parallels", 0, "WithouFreSpacExt", FALSE),
    MAGIC("luks", 0, "LUKS\xba\xbe", TRUE),
};

static const Magic *
find_magic(const guint8 *head, gsize size)
{
    for (gsize i = 0; i < G_N_ELEMENTS(magics); i++) {
        const Magic *magic = &magics[i];

        if (magic->offset + magic->length <= size &&
            memcmp(head + magic->offset, magic->magic, magic->length) == 0)
            return magic;
    }
    return NULL;
}

const char *
recognise_format(StrataNode *file, GError **error)
{
    guint8 head[HEAD_BYTES];
    gsize size = MIN(file->size, sizeof head);
    const Magic *magic;

    if (!strata_node_read(file, 0, size, head, error))
        return NULL;
    magic = find_magic(head, size);
    if (magic && !magic->is_ours) {
        gboolean is_backing = file->parent && file->parent->parent;

        strata_throw(error, file, STRATA_ERROR_UNSUPPORTED,
                     "it begins like an image of the format %s, which strata does not read; if it "
                     "is the bytes of the file that you want, say so with %s",
                     magic->format,
                     is_backing ? "\"backing.driver\" or --backing-format raw" : "--format raw");
        return NULL;
    }
    return magic ? magic->format : "raw";
}
