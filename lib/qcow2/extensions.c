/* SPDX-License-Identifier: LGPL-2.1-or-later
 * extensions.c - the header extensions of a qcow2 image, one after the other.
 *
 * Section "Header extensions" of docs/interop/qcow2.rst. */
#include "extensions.h"

#include <string.h>

#include "bytes.h"
#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"

/* Real images have fewer than ten; bounds what opening a hostile one costs. */
#define MAX_EXTENSIONS 256

void
qcow2_head_init(Qcow2Head *head, StrataNode *storage)
{
    head->storage = storage;
    head->length = MIN(storage->size, sizeof head->bytes);
    if (!strata_node_read(storage, 0, head->length, head->bytes, NULL))
        head->length = 0;
}

gboolean
qcow2_head_read(const Qcow2Head *head, guint64 offset, gsize length, gpointer buffer,
                GError **error)
{
    if (!range_within(offset, length, head->length))
        return strata_node_read(head->storage, offset, length, buffer, error);
    memcpy(buffer, head->bytes + offset, length);
    return TRUE;
}

/* Every turn goes forward, by the 8 bytes of an extension's own header at least. */
gboolean
qcow2_extensions_next(Qcow2Extensions *walk, Qcow2Extension *out, GError **error)
{
    guint8 raw[QCOW2_EXTENSION_HEADER];
    guint64 at = walk->offset;

    *out = (Qcow2Extension){ .type = QCOW2_EXTENSION_END };
    if (at >= walk->end)
        return TRUE;
    if (!range_within(at, sizeof raw, walk->end))
        return strata_throw(error, walk->node, STRATA_ERROR_DAMAGED,
                            "the header extension at offset 0x%" G_GINT64_MODIFIER "x is cut off"
                            " by the end of the extension area at 0x%" G_GINT64_MODIFIER "x",
                            at, walk->end);
    if (++walk->n_seen > MAX_EXTENSIONS)
        return strata_throw(error, walk->node, STRATA_ERROR_LIMIT,
                            "more than %d header extensions, which is strata's limit",
                            MAX_EXTENSIONS);
    if (!qcow2_head_read(walk->head, at, sizeof raw, raw, error))
        return FALSE;
    out->type = load_be32(raw, sizeof raw, 0);
    out->length = load_be32(raw, sizeof raw, 4);
    out->offset = at + sizeof raw;
    if (out->type != QCOW2_EXTENSION_END && !range_within(out->offset, out->length, walk->end))
        return strata_throw(
            error, walk->node, STRATA_ERROR_DAMAGED,
            "the header extension 0x%08x at offset 0x%" G_GINT64_MODIFIER "x has a"
            " length of %u bytes, past the end of the extension area at 0x%" G_GINT64_MODIFIER "x",
            out->type, at, out->length, walk->end);
    walk->offset = out->offset + (((guint64)out->length + 7) & ~G_GUINT64_CONSTANT(7));
    return TRUE;
}
