/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bytes.h - big-endian loads from a buffer whose bounds are checked. A load past the end is a bug
 * of the caller's length check, so it yields 0 and a critical instead of a stray read. */
#ifndef STRATA_BYTES_H
#define STRATA_BYTES_H

#include <glib.h>
#include <string.h>

static inline guint16
load_be16(const guint8 *bytes, gsize size, gsize at)
{
    guint16 value;

    g_return_val_if_fail(at <= size && sizeof value <= size - at, 0);
    memcpy(&value, bytes + at, sizeof value);
    return GUINT16_FROM_BE(value);
}

static inline guint32
load_be32(const guint8 *bytes, gsize size, gsize at)
{
    guint32 value;

    g_return_val_if_fail(at <= size && sizeof value <= size - at, 0);
    memcpy(&value, bytes + at, sizeof value);
    return GUINT32_FROM_BE(value);
}

static inline guint64
load_be64(const guint8 *bytes, gsize size, gsize at)
{
    guint64 value;

    g_return_val_if_fail(at <= size && sizeof value <= size - at, 0);
    memcpy(&value, bytes + at, sizeof value);
    return GUINT64_FROM_BE(value);
}

#endif
