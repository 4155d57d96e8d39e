/* SPDX-License-Identifier: LGPL-2.1-or-later
 * locate.c - where the bytes of one cluster lie, for who has to decode them. */
#include "locate.h"

#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"
#include "units.h"

/* "Compressed Clusters Descriptor": the offset in the low bits, and above them how many sectors
 * there are after the one in which it begins. The file may end within the last of them. */
static gboolean
place_compressed(StrataNode *node, const Qcow2Header *header, const Qcow2Cluster *cluster,
                 Qcow2Place *out_place, GError **error)
{
    guint offset_bits = 62 - (header->cluster_bits - 8);
    guint64 host = cluster->entry & ((G_GUINT64_CONSTANT(1) << offset_bits) - 1);
    guint64 descriptor = cluster->entry & (QCOW2_ENTRY_COMPRESSED - 1);
    guint64 n_sectors = (descriptor >> offset_bits) + 1;
    guint64 storage_size = node->children[STRATA_ROLE_FILE]->size;

    if (host >= storage_size)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the compressed cluster for guest offset 0x%" G_GINT64_MODIFIER
                            "x is said to lie at 0x%" G_GINT64_MODIFIER
                            "x, past the end of the file at 0x%" G_GINT64_MODIFIER "x",
                            cluster->guest, host, storage_size);
    out_place->compressed = TRUE;
    out_place->host = host;
    out_place->length = MIN(n_sectors * QCOW2_SECTOR - host % QCOW2_SECTOR, storage_size - host);
    return TRUE;
}

/* Where the kept bytes end that begin at @guest, within @cluster; @guest itself if it is not kept.
 * The subclusters of a standard image are all alike. */
static guint64
kept_end(const Qcow2Header *header, const Qcow2Cluster *cluster, guint64 guest)
{
    guint subcluster_bits = header->cluster_bits - QCOW2_SUBCLUSTERS_BITS;
    guint subcluster = (guint)((guest - cluster->guest) >> subcluster_bits);
    guint32 kept = (guint32)cluster->bitmap >> subcluster;
    guint n_kept = (guint)__builtin_ctzll(~(guint64)kept);

    return n_kept > 0 ? cluster->guest + ((guint64)(subcluster + n_kept) << subcluster_bits)
                      : guest;
}

/* Where the bytes end that lie together from @guest on, at @place->host; within the slice. */
static guint64
find_end(const Qcow2Header *header, const StrataSlice *slice, guint64 guest, guint64 limit,
         guint64 host)
{
    guint64 cluster_size = G_GUINT64_CONSTANT(1) << header->cluster_bits;
    guint64 end = guest;

    while (end < limit) {
        Qcow2Cluster cluster =
            qcow2_cluster_read(header, slice, (end - slice->begin) >> header->cluster_bits);
        guint64 into = end - cluster.guest;

        if (cluster.compressed || cluster.host + into != host + (end - guest) ||
            qcow2_cluster_find_damage(header, &cluster) != NULL)
            break;
        end = kept_end(header, &cluster, end);
        if (end < cluster.guest + cluster_size)
            break;
    }
    return MIN(end, limit);
}

gboolean
qcow2_locate(StrataNode *node, guint64 guest, guint64 length, Qcow2Place *out_place, GError **error)
{
    const Qcow2 *qcow2 = node->state;
    const Qcow2Header *header = qcow2->header;
    g_auto(StrataSlice) slice = { 0 };
    Qcow2Cluster cluster = { 0 };
    const char *damage;
    guint64 end = guest;

    *out_place = (Qcow2Place){ 0 };
    if (!qcow2_seek_slice(node, &slice, guest, guest + length, error))
        return FALSE;
    if (!slice.is_empty) {
        cluster = qcow2_cluster_read(header, &slice, (guest - slice.begin) >> header->cluster_bits);
        damage = qcow2_cluster_find_damage(header, &cluster);
        if (damage != NULL)
            return qcow2_cluster_throw(node, &slice, &cluster, damage, error);
        if (cluster.compressed)
            return place_compressed(node, header, &cluster, out_place, error);
        out_place->host = cluster.host + (guest - cluster.guest);
        end = find_end(header, &slice, guest, MIN(guest + length, slice.end), out_place->host);
    }
    if (end == guest)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the cluster for guest offset 0x%" G_GINT64_MODIFIER
                            "x was there a moment ago: the image is being written to",
                            guest);
    out_place->length = end - guest;
    return TRUE;
}
