/* SPDX-License-Identifier: LGPL-2.1-or-later
 * units.c - what the entries of L2 tables say of their clusters and subclusters.
 *
 * Sections "Cluster mapping" and "Extended L2 Entries" of docs/interop/qcow2.rst. These are the
 * loops that run over all metadata of an image. A unit is a cluster or, with extended entries, a
 * subcluster. */
#include "units.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "bits.h"
#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"

#define ALL_ALLOCATED ((guint64)G_MAXUINT32)
#define ALL_ZERO      ((guint64)G_MAXUINT32 << 32)

/* -- Clusters -- */

/* "Standard Cluster Descriptor": 0 is a host offset where a data file keeps the cluster and bit 63
 * says so; a zero cluster needs none. */
static gboolean
has_host(const Qcow2Header *header, guint64 entry)
{
    gboolean zero = !header->extended_l2 && (entry & QCOW2_ENTRY_ZERO) != 0;

    if ((entry & QCOW2_ENTRY_OFFSET) != 0)
        return TRUE;
    return header->has_data_file && !zero && (entry & QCOW2_ENTRY_COPIED) != 0;
}

static guint64
uniform_bitmap(guint64 entry, gboolean allocated)
{
    if ((entry & QCOW2_ENTRY_ZERO) != 0)
        return ALL_ZERO;
    return allocated ? ALL_ALLOCATED : 0;
}

Qcow2Cluster
qcow2_cluster_read(const Qcow2Header *header, const StrataSlice *slice, gsize index)
{
    const guint64 *words = qcow2_table_words(slice->table);
    gsize word = index << (qcow2_entry_bits(header) - 3);
    guint64 entry = GUINT64_FROM_BE(words[word]);
    Qcow2Cluster cluster = {
        .entry = entry,
        .guest = slice->begin + ((guint64)index << header->cluster_bits),
        .host = entry & QCOW2_ENTRY_OFFSET,
        .compressed = (entry & QCOW2_ENTRY_COMPRESSED) != 0,
    };

    cluster.has_host = has_host(header, entry);
    cluster.bitmap = header->extended_l2 ? GUINT64_FROM_BE(words[word + 1])
                                         : uniform_bitmap(entry, cluster.has_host);
    return cluster;
}

/* "Header", incompatible bit 2: in an external data file the guest's offset is the only legal one,
 * and nothing is compressed. */
const char *
qcow2_cluster_find_damage(const Qcow2Header *header, const Qcow2Cluster *cluster)
{
    guint64 cluster_size = G_GUINT64_CONSTANT(1) << header->cluster_bits;
    guint32 allocated = (guint32)cluster->bitmap, zero = (guint32)(cluster->bitmap >> 32);

    if (cluster->compressed)
        return header->has_data_file ? "it is compressed, with an external data file" : NULL;
    if (header->version < 3 && (cluster->entry & QCOW2_ENTRY_ZERO) != 0)
        return "it is a zero cluster, in a version 2 image";
    if (!is_aligned(cluster->host, cluster_size))
        return "its host offset is no multiple of the cluster size";
    if (header->has_data_file && cluster->has_host && cluster->host != cluster->guest)
        return "its offset in the external data file is not the guest's offset";
    if ((allocated & zero) != 0)
        return "some subclusters are both allocated and zero";
    if (allocated != 0 && !cluster->has_host)
        return "some subclusters are allocated, but it has no host offset";
    return NULL;
}

gboolean
qcow2_cluster_throw(StrataNode *node, const StrataSlice *slice, const Qcow2Cluster *cluster,
                    const char *damage, GError **error)
{
    const Qcow2 *qcow2 = node->state;
    gsize index = (cluster->guest - slice->begin) >> qcow2->header->cluster_bits;
    guint64 entry_offset = slice->table_offset + (index << qcow2_entry_bits(qcow2->header));

    return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                        "the L2 entry for guest offset 0x%" G_GINT64_MODIFIER
                        "x (0x%016" G_GINT64_MODIFIER "x at file offset 0x%" G_GINT64_MODIFIER
                        "x) is damaged: %s",
                        cluster->guest, cluster->entry, entry_offset, damage);
}

void
qcow2_throw_damage(StrataNode *node, const StrataSlice *slice, gsize unit, GError **error)
{
    const Qcow2 *qcow2 = node->state;
    const Qcow2Header *header = qcow2->header;
    Qcow2Cluster cluster =
        qcow2_cluster_read(header, slice, unit >> (header->cluster_bits - node->unit_bits));

    qcow2_cluster_throw(node, slice, &cluster, qcow2_cluster_find_damage(header, &cluster), error);
}

/* -- What is the node's own -- */

/* Which of @n entries, at most 64, have a bit of @mask (as it stands in the file): a loop without
 * branches. */
static guint64
find_own_few(const guint64 *words, gsize n, guint64 mask)
{
    guint64 own = 0;

    for (gsize i = n; i-- > 0;)
        own = own + own + ((words[i] & mask) != 0);
    return own;
}

#ifdef __SSE2__
/* A lane of 32 bits for each of four entries: what they have of @mask, from both halves. */
static inline __m128i
fold_4(const guint64 *words, __m128i mask)
{
    __m128i first = _mm_and_si128(_mm_loadu_si128((gconstpointer)words), mask);
    __m128i second = _mm_and_si128(_mm_loadu_si128((gconstpointer)(words + 2)), mask);
    __m128 a = _mm_castsi128_ps(first), b = _mm_castsi128_ps(second);

    return _mm_or_si128(_mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0))),
                        _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1))));
}

static inline __m128i
are_zero_8(const guint64 *words, __m128i mask)
{
    const __m128i zero = _mm_setzero_si128();

    return _mm_packs_epi32(_mm_cmpeq_epi32(fold_4(words, mask), zero),
                           _mm_cmpeq_epi32(fold_4(words + 4, mask), zero));
}

/* The same for 64 entries: sixteen at a time. */
static guint64
find_own_64(const guint64 *words, guint64 mask)
{
    const __m128i wide_mask = _mm_set1_epi64x((gint64)mask);
    guint64 zero = 0;

    for (guint i = 0; i < BITS_PER_WORD; i += 16) {
        __m128i bytes =
            _mm_packs_epi16(are_zero_8(words + i, wide_mask), are_zero_8(words + i + 8, wide_mask));

        zero |= (guint64)(guint)_mm_movemask_epi8(bytes) << i;
    }
    return ~zero;
}
#else
static guint64
find_own_64(const guint64 *words, guint64 mask)
{
    return find_own_few(words, BITS_PER_WORD, mask);
}
#endif

static void
find_own_clusters(const Qcow2Header *header, const guint64 *words, gsize n, guint64 *bits)
{
    guint64 copied = header->has_data_file ? QCOW2_ENTRY_COPIED : 0; /* has_host() */
    guint64 mask =
        GUINT64_TO_BE(QCOW2_ENTRY_OFFSET | QCOW2_ENTRY_ZERO | QCOW2_ENTRY_COMPRESSED | copied);

    gsize at;

    for (at = 0; at + BITS_PER_WORD <= n; at += BITS_PER_WORD)
        bits[at / BITS_PER_WORD] = find_own_64(words + at, mask);
    if (at < n)
        bits[at / BITS_PER_WORD] = find_own_few(words + at, n - at, mask);
}

/* All subclusters of a damaged cluster, and of a compressed one. */
static guint32
own_subclusters(const Qcow2Header *header, const Qcow2Cluster *cluster)
{
    if (cluster->compressed || qcow2_cluster_find_damage(header, cluster) != NULL)
        return G_MAXUINT32;
    return (guint32)(cluster->bitmap | cluster->bitmap >> 32);
}

static void
find_own_subclusters(const Qcow2Header *header, const StrataSlice *slice, gsize first, gsize n,
                     guint64 *bits)
{
    gsize step;

    for (gsize done = 0; done < n; done += step) {
        gsize unit = first + done, skipped = unit % QCOW2_SUBCLUSTERS;
        Qcow2Cluster cluster = qcow2_cluster_read(header, slice, unit / QCOW2_SUBCLUSTERS);

        step = MIN(QCOW2_SUBCLUSTERS - skipped, n - done);
        bits_put(bits, done, own_subclusters(header, &cluster) >> skipped, step);
    }
}

void
qcow2_find_own(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units,
               guint64 *bits)
{
    const Qcow2 *qcow2 = node->state;

    if (qcow2->header->extended_l2)
        find_own_subclusters(qcow2->header, slice, first, n_units, bits);
    else
        find_own_clusters(qcow2->header, qcow2_table_words(slice->table) + first, n_units, bits);
}

/* -- What it is -- */

/* Where the answers for units go. */
typedef struct {
    StrataNode *node;
    const Qcow2Header *header;
    const StrataSlice *slice;
    gsize first;
    StrataUnits *units;
} Teller;

static inline void
tell_data(StrataUnits *units, gsize i, guint64 place)
{
    units->kinds[i] = units->tag + STRATA_UNIT_DATA;
    units->places[i] = place;
    units->lowest = MIN(units->lowest, place);
    units->highest = MAX(units->highest, place);
}

static guint
kind_of_data(const Qcow2Header *header, const Qcow2Cluster *cluster)
{
    if (cluster->compressed)
        return STRATA_UNIT_COMPRESSED;
    return header->crypt_method ? STRATA_UNIT_ENCRYPTED : STRATA_UNIT_DATA;
}

/* The units of @which, bits from the caller's @at on, are of @kind, each with the place that
 * follows on that of the one before; bit 0 would be at @place. */
static void
tell_alike(StrataUnits *units, gsize at, guint64 which, guint16 kind, guint64 place,
           guint unit_bits)
{
    guint16 *kinds = units->kinds + at;
    guint64 *places = units->places + at;

    for (; which != 0; which &= which - 1) {
        guint i = (guint)__builtin_ctzll(which);

        kinds[i] = kind;
        places[i] = place + ((guint64)i << unit_bits);
    }
}

static void
widen(StrataUnits *units, guint64 which, guint64 place, guint unit_bits)
{
    guint first = (guint)__builtin_ctzll(which), last = 63 - (guint)__builtin_clzll(which);

    units->lowest = MIN(units->lowest, place + ((guint64)first << unit_bits));
    units->highest = MAX(units->highest, place + ((guint64)last << unit_bits));
}

/* Units of the caller's, bits of @which from @at on, which are parts of @cluster. */
static void
tell_parts(const Teller *teller, const Qcow2Cluster *cluster, gsize at, guint64 which)
{
    StrataUnits *units = teller->units;
    guint unit_bits = teller->node->unit_bits;
    guint64 guest = teller->slice->begin + ((guint64)(teller->first + at) << unit_bits);
    guint64 into = guest - cluster->guest;
    guint64 zeros = cluster->bitmap >> (QCOW2_SUBCLUSTERS + (into >> unit_bits));
    guint64 zero = cluster->compressed ? 0 : which & zeros, data = which & ~zero;
    guint kind = kind_of_data(teller->header, cluster);
    guint64 place = kind == STRATA_UNIT_DATA ? cluster->host + into : guest;

    tell_alike(units, at, zero, (guint16)(units->tag + STRATA_UNIT_ZERO), guest, unit_bits);
    tell_alike(units, at, data, (guint16)(units->tag + kind), place, unit_bits);
    if (kind == STRATA_UNIT_DATA && data != 0)
        widen(units, data, place, unit_bits);
}

/* The same, for the cluster that has them; FALSE if that is damaged. */
static gboolean
tell_of_cluster(const Teller *teller, gsize at, guint64 which)
{
    guint per_cluster_bits = teller->header->cluster_bits - teller->node->unit_bits;
    Qcow2Cluster cluster =
        qcow2_cluster_read(teller->header, teller->slice, (teller->first + at) >> per_cluster_bits);

    if (qcow2_cluster_find_damage(teller->header, &cluster) != NULL)
        return FALSE;
    tell_parts(teller, &cluster, at, which);
    return TRUE;
}

/* What most clusters are is told at once: data, in a place that can be. @strange: the bits that
 * such an entry does not have, all of them where the answer takes more than the entry.
 * Returns the first of 64 that is damaged, or 64. */
static gsize
tell_64(const Teller *teller, guint64 wanted, gsize from, guint64 strange)
{
    const guint64 *words = qcow2_table_words(teller->slice->table) + teller->first;
    StrataUnits units = *teller->units; /* which the loop can keep in registers */

    for (; wanted != 0; wanted &= wanted - 1) {
        gsize i = from + __builtin_ctzll(wanted);
        guint64 entry = GUINT64_FROM_BE(words[i]);

        if ((entry & strange) != 0)
            break;
        tell_data(&units, i, entry & QCOW2_ENTRY_OFFSET);
    }
    *teller->units = units;
    for (; wanted != 0; wanted &= wanted - 1)
        if (!tell_of_cluster(teller, from + __builtin_ctzll(wanted), 1))
            return __builtin_ctzll(wanted);
    return BITS_PER_WORD;
}

static gsize
tell_clusters(const Teller *teller, gsize n, const guint64 *wanted)
{
    const Qcow2Header *header = teller->header;
    guint64 unaligned = QCOW2_ENTRY_OFFSET & ((G_GUINT64_CONSTANT(1) << header->cluster_bits) - 1);
    guint64 strange = header->has_data_file || header->crypt_method
                          ? G_MAXUINT64
                          : QCOW2_ENTRY_COMPRESSED | QCOW2_ENTRY_ZERO | unaligned;

    for (gsize from = 0; from < n; from += BITS_PER_WORD) {
        gsize damaged = tell_64(teller, wanted[from / BITS_PER_WORD], from, strange);

        if (damaged < BITS_PER_WORD)
            return from + damaged;
    }
    return n;
}

static gsize
tell_subclusters(const Teller *teller, gsize n, const guint64 *wanted)
{
    gsize step;

    for (gsize at = 0; at < n; at += step) {
        gsize skipped = (teller->first + at) % QCOW2_SUBCLUSTERS;
        guint64 here;

        step = MIN(QCOW2_SUBCLUSTERS - skipped, n - at);
        here = bits_word_at(wanted, at, n) & bits_low(step);
        if (here != 0 && !tell_of_cluster(teller, at, here))
            return at + __builtin_ctzll(here);
    }
    return n;
}

gsize
qcow2_tell_units(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units,
                 const guint64 *wanted, StrataUnits *units)
{
    const Qcow2 *qcow2 = node->state;
    const Teller teller = {
        .node = node,
        .header = qcow2->header,
        .slice = slice,
        .first = first,
        .units = units,
    };

    return teller.header->extended_l2 ? tell_subclusters(&teller, n_units, wanted)
                                      : tell_clusters(&teller, n_units, wanted);
}
