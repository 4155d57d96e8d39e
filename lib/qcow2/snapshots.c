/* SPDX-License-Identifier: LGPL-2.1-or-later
 * snapshots.c - the snapshot table of a qcow2 image: which there are, and the disk of one of them.
 *
 * Section "Snapshots" of docs/interop/qcow2.rst. A snapshot is an L1 table and a size: all else of
 * the image (backing file, encryption, clusters) is what it is today. */
#include "snapshots.h"

#include <strata/snapshot.h>

#include "bytes.h"
#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"
#include "opener.h"
#include "qcow2.h"
#include "spec.h"

/* How much a message that lists the snapshots repeats. */
#define MAX_LISTED      10
#define MAX_LISTED_NAME 64 /* bytes */

/* Where the disk of a snapshot is mapped. */
typedef struct {
    guint64 offset;
    guint32 n_entries;
} L1Place;

/* The table while it is being read. */
typedef struct {
    StrataNode *node;
    const Qcow2Header *header;
    guint64 at;        /* of the next entry, in the file */
    guint64 limit;     /* where the longest table that we read would end */
    guint index;       /* of the entry, for messages */
    GArray *snapshots; /* StrataSnapshot: those that are kept */
    GArray *l1_places; /* L1Place, as many */

    KeptBudget *budget; /* (nullable) */
    const char *wanted; /* (nullable) the snapshot that the spec names; NULL: all are kept */
    gboolean has_id;    /* .wanted was met as an ID */
    gboolean has_name;  /* likewise as a name */
} Reader;

/* The fixed part of an entry, with what is known of the extra data: zero where there is none. */
typedef struct {
    guint8 raw[QCOW2_SNAPSHOT_KNOWN_ENTRY];
    guint32 extra_size;
    guint16 id_size;
    guint16 name_size;
} Entry;

static void
snapshot_clear(gpointer pointer)
{
    StrataSnapshot *snapshot = pointer;

    g_free((gpointer)snapshot->id);
    g_free((gpointer)snapshot->name);
}

static gboolean
check_table(StrataNode *node, const Qcow2Header *header, GError **error)
{
    /* The format forbids them, because the data file holds the disk of today only. */
    if (header->has_data_file)
        return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                            "the image has %u snapshots and an external data file, and with such a"
                            " file no snapshot can be right",
                            header->n_snapshots);
    if (header->n_snapshots > QCOW2_MAX_SNAPSHOTS)
        return strata_throw(error, node, STRATA_ERROR_LIMIT,
                            "the image has %u snapshots in the header; at most %d are read",
                            header->n_snapshots, QCOW2_MAX_SNAPSHOTS);
    if (!is_aligned(header->snapshots_offset, G_GUINT64_CONSTANT(1) << header->cluster_bits))
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the snapshot table's offset 0x%" G_GINT64_MODIFIER
                            "x is no multiple of the cluster size",
                            header->snapshots_offset);
    return TRUE;
}

/* Whether the table may have @length bytes more, and the file has them. */
static gboolean
check_room(const Reader *reader, guint64 length, GError **error)
{
    guint64 file_size = reader->node->children[STRATA_ROLE_FILE]->size;

    if (!range_within(reader->at, length, file_size))
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "entry %u of the snapshot table, at 0x%" G_GINT64_MODIFIER
                            "x, lies past the end of the file at 0x%" G_GINT64_MODIFIER "x",
                            reader->index, reader->at, file_size);
    if (!range_within(reader->at, length, reader->limit))
        return strata_throw(error, reader->node, STRATA_ERROR_LIMIT,
                            "the snapshot table has more than %d bytes, which is strata's limit",
                            QCOW2_MAX_SNAPSHOT_BYTES);
    return TRUE;
}

/* Bytes of the entry before its two strings. */
static guint64
strings_at(const Entry *entry)
{
    return (guint64)QCOW2_SNAPSHOT_ENTRY + entry->extra_size;
}

static gboolean
read_fixed_part(const Reader *reader, Entry *entry, GError **error)
{
    StrataNode *storage = reader->node->children[STRATA_ROLE_FILE];
    guint known;

    if (!check_room(reader, QCOW2_SNAPSHOT_ENTRY, error) ||
        !strata_node_read(storage, reader->at, QCOW2_SNAPSHOT_ENTRY, entry->raw, error))
        return FALSE;
    entry->extra_size = load_be32(entry->raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_EXTRA_SIZE);
    entry->id_size = load_be16(entry->raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_ID_SIZE);
    entry->name_size = load_be16(entry->raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_NAME_SIZE);
    if (entry->extra_size > QCOW2_MAX_SNAPSHOT_EXTRA)
        return strata_throw(error, reader->node, STRATA_ERROR_LIMIT,
                            "entry %u of the snapshot table, at 0x%" G_GINT64_MODIFIER
                            "x, has %u bytes of extra data; at most %d are read",
                            reader->index, reader->at, entry->extra_size, QCOW2_MAX_SNAPSHOT_EXTRA);
    if (!check_room(reader, strings_at(entry) + entry->id_size + entry->name_size, error))
        return FALSE;
    known = MIN(entry->extra_size, QCOW2_SNAPSHOT_KNOWN_ENTRY - QCOW2_SNAPSHOT_ENTRY);
    return known == 0 || strata_node_read(storage, reader->at + QCOW2_SNAPSHOT_ENTRY, known,
                                          entry->raw + QCOW2_SNAPSHOT_ENTRY, error);
}

/* A field counts only where the extra data reaches to its end. Without a size of its own a snapshot
 * has that of the image, as for QEMU: only old images are so, and they could not be resized. */
static void
take_numbers(const Reader *reader, const Entry *entry, StrataSnapshot *snapshot)
{
    const guint8 *raw = entry->raw;
    guint64 end = strings_at(entry);

    snapshot->date_sec = load_be32(raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_DATE_SEC);
    snapshot->vm_clock_nsec = load_be64(raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_VM_CLOCK);
    snapshot->vm_state_size = load_be32(raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_VM_STATE);
    snapshot->disk_size = reader->header->size;
    if (end >= QCOW2_SNAPSHOT_AT_VM_STATE_64 + sizeof(guint64))
        snapshot->vm_state_size = load_be64(raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_VM_STATE_64);
    if (end >= QCOW2_SNAPSHOT_AT_DISK_SIZE + sizeof(guint64))
        snapshot->disk_size = load_be64(raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_DISK_SIZE);
}

/* No more of it than stands before a NUL: the rest of a long field would be memory for nothing. */
static char *
take_text(const char *field, gsize size)
{
    return g_strndup(field, strnlen(field, size));
}

/* Both strings stand one behind the other. A NUL ends a string, as it does for QEMU. */
static gboolean
read_strings(const Reader *reader, const Entry *entry, StrataSnapshot *snapshot, GError **error)
{
    gsize length = (gsize)entry->id_size + entry->name_size;
    g_autofree char *strings = g_malloc(length + 1);

    if (length > 0 && !strata_node_read(reader->node->children[STRATA_ROLE_FILE],
                                        reader->at + strings_at(entry), length, strings, error))
        return FALSE;
    snapshot->id = take_text(strings, entry->id_size);
    snapshot->name = take_text(strings + entry->id_size, entry->name_size);
    return TRUE;
}

/* Of those that are not all kept: what strata_node_find_snapshot() can find, and what a message
 * lists. */
static gboolean
is_kept(Reader *reader, const StrataSnapshot *snapshot)
{
    gboolean is_by_id, is_by_name;

    if (reader->wanted == NULL)
        return TRUE;
    is_by_id = !reader->has_id && g_str_equal(snapshot->id, reader->wanted);
    is_by_name = !reader->has_name && g_str_equal(snapshot->name, reader->wanted);
    reader->has_id |= is_by_id;
    reader->has_name |= is_by_name;
    return is_by_id || is_by_name || reader->index < MAX_LISTED;
}

static void
keep(Reader *reader, const Entry *entry, StrataSnapshot *snapshot)
{
    L1Place l1 = {
        .offset = load_be64(entry->raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_L1_OFFSET),
        .n_entries = load_be32(entry->raw, sizeof entry->raw, QCOW2_SNAPSHOT_AT_L1_SIZE),
    };

    take_numbers(reader, entry, snapshot);
    g_array_append_val(reader->snapshots, *snapshot);
    g_array_append_val(reader->l1_places, l1);
}

static gboolean
read_entry(Reader *reader, GError **error)
{
    Entry entry = { 0 };
    StrataSnapshot snapshot = { 0 };
    guint64 length;

    if (!read_fixed_part(reader, &entry, error))
        return FALSE;
    length = strings_at(&entry) + entry.id_size + entry.name_size;
    if (!kept_take(reader->budget, reader->node, 0, length, error) ||
        !read_strings(reader, &entry, &snapshot, error))
        return FALSE;
    if (is_kept(reader, &snapshot))
        keep(reader, &entry, &snapshot);
    else
        snapshot_clear(&snapshot);
    reader->at += (length + 7) & ~G_GUINT64_CONSTANT(7);
    return TRUE;
}

static gboolean
read_table(Reader *reader, GError **error)
{
    const Qcow2Header *header = reader->header;

    if (!check_table(reader->node, header, error) ||
        !kept_take(reader->budget, reader->node, header->n_snapshots, 0, error))
        return FALSE;
    reader->at = header->snapshots_offset;
    if (!checked_add(reader->at, QCOW2_MAX_SNAPSHOT_BYTES, &reader->limit))
        reader->limit = G_MAXUINT64;
    for (reader->index = 0; reader->index < header->n_snapshots; reader->index++)
        if (!read_entry(reader, error))
            return FALSE;
    return TRUE;
}

/* -- The disk of one of them -- */

/* "1 ('before'), 2 ('after')", and how many more of @n_all. */
static char *
list_snapshots(const GArray *snapshots, guint n_all)
{
    GString *list = g_string_new(NULL);

    for (guint i = 0; i < MIN(snapshots->len, MAX_LISTED); i++) {
        const StrataSnapshot *snapshot = &g_array_index(snapshots, StrataSnapshot, i);
        g_autofree char *short_id = g_strndup(snapshot->id, MAX_LISTED_NAME);
        g_autofree char *short_name = g_strndup(snapshot->name, MAX_LISTED_NAME);
        g_autofree char *id = strata_escape(short_id);
        g_autofree char *name = strata_escape(short_name);

        g_string_append_printf(list, "%s%s ('%s')", i > 0 ? ", " : "", id, name);
    }
    if (n_all > MAX_LISTED)
        g_string_append_printf(list, " and %u more", n_all - MAX_LISTED);
    return g_string_free(list, FALSE);
}

static gboolean
throw_not_found(StrataNode *node, guint n_all, const char *wanted, GError **error)
{
    g_autofree char *shown = strata_escape(wanted);
    g_autofree char *list = NULL;

    if (node->snapshots == NULL || node->snapshots->len == 0)
        return strata_throw(error, node, STRATA_ERROR_NOT_FOUND,
                            "there is no snapshot '%s': the image has no snapshots", shown);
    list = list_snapshots(node->snapshots, n_all);
    return strata_throw(error, node, STRATA_ERROR_NOT_FOUND,
                        "there is no snapshot with the ID or name '%s'; the image has %s", shown,
                        list);
}

static gboolean
use_snapshot(const Reader *reader, Qcow2Header *header, const char *wanted, GError **error)
{
    const StrataSnapshot *found = strata_node_find_snapshot(reader->node, wanted);
    g_autofree char *shown = strata_escape(wanted);
    g_autofree char *where = g_strdup_printf("the entry of snapshot '%s'", shown);
    const L1Place *l1;

    if (found == NULL)
        return throw_not_found(reader->node, reader->header->n_snapshots, wanted, error);
    l1 = &g_array_index(reader->l1_places, L1Place,
                        found - &g_array_index(reader->snapshots, StrataSnapshot, 0));
    return qcow2_header_set_disk(reader->node, header, found->disk_size, l1->offset, l1->n_entries,
                                 where, error);
}

/* Reads the table, or the part of it that @reader keeps. */
static gboolean
open_table(Reader *reader, Qcow2Header *header, const char *wanted, char **out_damage,
           GError **error)
{
    g_autoptr(GArray) snapshots = g_array_new(FALSE, FALSE, sizeof(StrataSnapshot));
    g_autoptr(GArray) l1_places = g_array_new(FALSE, FALSE, sizeof(L1Place));
    g_autoptr(GError) reason = NULL;

    g_array_set_clear_func(snapshots, snapshot_clear);
    reader->snapshots = snapshots;
    reader->l1_places = l1_places;
    if (header->n_snapshots > 0 && !read_table(reader, &reason)) {
        if (wanted != NULL) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return FALSE;
        }
        *out_damage = g_strdup(reason->message);
        return TRUE;
    }
    reader->node->snapshots = g_array_ref(snapshots);
    return wanted == NULL || use_snapshot(reader, header, wanted, error);
}

/* The list of what is open already: each client of a server may have opened another snapshot. */
static void
share_list(StrataNode *node, StrataNode *open, char **out_damage)
{
    const Qcow2 *qcow2 = open->state;

    g_clear_pointer(&node->snapshots, g_array_unref);
    node->snapshots = open->snapshots != NULL ? g_array_ref(open->snapshots) : NULL;
    *out_damage = g_strdup(qcow2->snapshots_damage);
}

gboolean
qcow2_snapshots_open(StrataNode *node, const StrataOpener *opener, Qcow2Header *header,
                     char **out_damage, GError **error)
{
    const char *wanted = node->spec ? spec_get_text(node->spec, "snapshot") : NULL;
    StrataNode *again = opener != NULL ? opener->again : NULL;
    StrataNode *open = again != NULL && again->driver == &strata_driver_qcow2 ? again : NULL;
    gboolean is_listed = opener != NULL && open == NULL;
    Reader reader = {
        .node = node,
        .header = header,
        .budget = is_listed ? opener->kept : NULL,
        .wanted = is_listed ? NULL : wanted,
    };

    if ((is_listed || wanted != NULL) && !open_table(&reader, header, wanted, out_damage, error))
        return FALSE;
    if (open != NULL)
        share_list(node, open, out_damage);
    return TRUE;
}
