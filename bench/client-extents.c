/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-extents.c - what a server tells of one context: counted and summed up. */
#include "client-extents.h"

#include <inttypes.h>
#include <string.h>

#include "client-fail.h"
#include "protocol/proto.h"

G_NORETURN static void
fail_of_extent(ExtentsBounds bounds, guint64 length)
{
    if (length == 0)
        fail("an extent of no length at 0x%" PRIx64, bounds.at);
    if (bounds.at >= bounds.request_end)
        fail("an extent begins at 0x%" PRIx64 ", past the request's end at 0x%" PRIx64, bounds.at,
             bounds.request_end);
    fail("an extent of %" PRIu64 " bytes at 0x%" PRIx64
         " goes past the end of the export at %" PRIu64,
         length, bounds.at, bounds.size);
}

/* Odd constants without a pattern; which ones does not matter, but figures of two versions of this
 * program can be compared only while they stay. */
static inline guint64
mix(guint64 length, guint64 value)
{
    guint64 mixed = (length ^ value * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) *
                    G_GUINT64_CONSTANT(0xd6e8feb86659fd93);

    return mixed ^ mixed >> 32;
}

static inline void
end_run(Extents *extents)
{
    extents->sum += mix(extents->position - extents->begin, extents->value);
    extents->weighted += extents->sum;
    extents->n_merged++;
}

/* An extent that begins where all is told, or before. Always in line: a map is as many of these as
 * it has extents, and nothing else of the client counts beside them. */
static G_ALWAYS_INLINE inline void
take_one(Extents *extents, ExtentsBounds *bounds, guint64 length, guint64 value)
{
    if (G_UNLIKELY(length - 1 >= bounds->size - bounds->at || bounds->at >= bounds->request_end))
        fail_of_extent(*bounds, length);
    bounds->at += length;
    if (G_UNLIKELY(bounds->at <= extents->position))
        return;
    if (value != extents->value) {
        if (extents->position > extents->begin)
            end_run(extents);
        extents->begin = extents->position;
        extents->value = value;
    }
    extents->position = bounds->at;
}

static G_ALWAYS_INLINE inline void
take_narrow(Extents *extents, ExtentsBounds *bounds, const guint8 *data)
{
    NbdExtent extent;

    memcpy(&extent, data, sizeof extent);
    take_one(extents, bounds, GUINT32_FROM_BE(extent.length), GUINT32_FROM_BE(extent.flags));
}

static G_ALWAYS_INLINE inline void
take_wide(Extents *extents, ExtentsBounds *bounds, const guint8 *data)
{
    NbdExtExtent extent;

    memcpy(&extent, data, sizeof extent);
    take_one(extents, bounds, GUINT64_FROM_BE(extent.length), GUINT64_FROM_BE(extent.flags));
}

void
extents_take(Extents *extents, ExtentsBounds *bounds, const guint8 *data, gsize n, gboolean is_wide)
{
    Extents kept = *extents; /* copies, which the compiler can keep in registers */
    ExtentsBounds within = *bounds;

    if (is_wide)
        for (gsize i = 0; i < n; i++)
            take_wide(&kept, &within, data + i * sizeof(NbdExtExtent));
    else
        for (gsize i = 0; i < n; i++)
            take_narrow(&kept, &within, data + i * sizeof(NbdExtent));
    kept.n_extents += n;
    *extents = kept;
    *bounds = within;
}

void
extents_finish(Extents *extents)
{
    if (extents->position > extents->begin)
        end_run(extents);
    extents->begin = extents->position;
}

guint64
extents_digest(const Extents *extents)
{
    return mix(extents->sum, extents->weighted);
}
