/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bits.h - arrays of bits in words of 64: bit n is bit n % 64 of word n / 64. */
#ifndef STRATA_BITS_H
#define STRATA_BITS_H

#include <glib.h>

#define BITS_PER_WORD 64
#define BITS_WORDS(n) (((n) + BITS_PER_WORD - 1) / BITS_PER_WORD)

/* The lowest @n bits, of which there are at most 64. */
static inline guint64
bits_low(gsize n)
{
    return n < BITS_PER_WORD ? (G_GUINT64_CONSTANT(1) << n) - 1 : G_MAXUINT64;
}

static inline gboolean
bits_get(const guint64 *bits, gsize i)
{
    return bits[i / BITS_PER_WORD] >> i % BITS_PER_WORD & 1;
}

/* The 64 bits from @from on; beyond @n they are clear. */
static inline guint64
bits_word_at(const guint64 *bits, gsize from, gsize n)
{
    gsize word = from / BITS_PER_WORD, shift = from % BITS_PER_WORD;
    guint64 value = bits[word] >> shift;

    if (shift != 0 && (word + 1) * BITS_PER_WORD < n)
        value |= bits[word + 1] << (BITS_PER_WORD - shift);
    return from < n ? value & bits_low(n - from) : 0;
}

/* Sets at @at those of the lowest @n bits of @value that are set; @n is at most 64. */
static inline void
bits_put(guint64 *bits, gsize at, guint64 value, gsize n)
{
    gsize word = at / BITS_PER_WORD, shift = at % BITS_PER_WORD;

    value &= bits_low(n);
    bits[word] |= value << shift;
    if (shift != 0 && shift + n > BITS_PER_WORD)
        bits[word + 1] |= value >> (BITS_PER_WORD - shift);
}

/* Sets @n bits from @at on. */
static inline void
bits_fill(guint64 *bits, gsize at, gsize n)
{
    while (n > 0) {
        gsize step = MIN(n, BITS_PER_WORD - at % BITS_PER_WORD);

        bits[at / BITS_PER_WORD] |= bits_low(step) << at % BITS_PER_WORD;
        at += step;
        n -= step;
    }
}

/* The first set bit of @bits from @from on, or @n. */
static inline gsize
bits_find(const guint64 *bits, gsize from, gsize n)
{
    for (gsize word = from / BITS_PER_WORD; from < n; from = ++word * BITS_PER_WORD) {
        guint64 value = bits[word] >> from % BITS_PER_WORD;

        if (value != 0)
            return MIN(from + __builtin_ctzll(value), n);
    }
    return n;
}

#endif
