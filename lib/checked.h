/* SPDX-License-Identifier: LGPL-2.1-or-later
 * checked.h - arithmetic on numbers that were read from somewhere. Each helper says whether the
 * true result fits; the stored result is only to be used when it does. */
#ifndef STRATA_CHECKED_H
#define STRATA_CHECKED_H

#include <glib.h>

static inline gboolean
checked_add(guint64 a, guint64 b, guint64 *out_sum)
{
    return !__builtin_add_overflow(a, b, out_sum);
}

static inline gboolean
checked_mul(guint64 a, guint64 b, guint64 *out_product)
{
    return !__builtin_mul_overflow(a, b, out_product);
}

/* Whether [offset, offset + length) lies within [0, size); cannot wrap. */
static inline gboolean
range_within(guint64 offset, guint64 length, guint64 size)
{
    return offset <= size && length <= size - offset;
}

/* @alignment: a power of two. */
static inline gboolean
is_aligned(guint64 value, guint64 alignment)
{
    return (value & (alignment - 1)) == 0;
}

#endif
