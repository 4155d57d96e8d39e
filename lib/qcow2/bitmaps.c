/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmaps.c - which persistent dirty bitmaps a qcow2 image has.
 *
 * Sections "Bitmaps extension" and "Bitmap directory" of docs/interop/qcow2.rst. A clean bit makes
 * a backup leave data out, so where QEMU refuses what is reserved or unknown, so does this. But
 * what is refused still hides its namesakes: a bitmap of that name further down the chain knows
 * nothing of what was written up here, and its bits would be clean. */
#include "bitmaps.h"

#include "bitmap.h"
#include "bytes.h"
#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"
#include "opener.h"

/* How many faults a description tells of. */
#define MAX_NOTES 8

/* The directory while it is being read. */
typedef struct {
    StrataNode *node;
    const Qcow2Header *header;
    KeptBudget *budget; /* (nullable) */
    guint64 at;         /* of the next entry, in the file */
    guint64 end;        /* of the directory */
    guint32 n_left;     /* entries that are still to come */
    guint index;        /* of the entry, for notes */
    GTree *names;       /* name (the bitmap's) -> StrataBitmap, neither owned */
    GString *damage;    /* notes, MAX_NOTES at most */
    guint n_notes;
} Reader;

typedef struct {
    guint64 table_offset;
    guint32 table_size;
    guint32 flags;
    guint8 type;
    guint8 granularity_bits;
    guint16 name_size;
    guint32 extra_size;
    guint64 length; /* of the whole entry with its padding */
} Entry;

/* -- The directory -- */

static void G_GNUC_PRINTF(2, 3) note(Reader *reader, const char *format, ...)
{
    va_list args;

    if (++reader->n_notes > MAX_NOTES)
        return;
    if (reader->damage->len > 0)
        g_string_append(reader->damage, "; ");
    va_start(args, format);
    g_string_append_vprintf(reader->damage, format, args);
    va_end(args);
}

static guint64
cluster_size(const Qcow2Header *header)
{
    return G_GUINT64_CONSTANT(1) << header->cluster_bits;
}

/* How many entries of a bitmap table the disk needs. */
static guint64
count_needed_entries(const Qcow2Header *header, guint granularity_bits)
{
    guint shift = granularity_bits + 3 + header->cluster_bits; /* at most 55 */

    return (header->size >> shift) + !is_aligned(header->size, G_GUINT64_CONSTANT(1) << shift);
}

/* Why the extension leads to no directory; NULL when it leads to one. */
static const char *
find_fault_of_extension(const Qcow2Header *header)
{
    if (!header->bitmaps_hold)
        return "the image has been written to by a program that does not know bitmaps (autoclear"
               " bit 0 is clear), so that none of them holds";
    if (header->n_bitmap_extensions == 0)
        return "the header says that there are bitmaps (autoclear bit 0), and not where";
    if (header->n_bitmap_extensions > 1)
        return "the bitmaps extension stands twice in the header";
    if (header->bitmaps_length != QCOW2_BITMAPS_LENGTH)
        return "the bitmaps extension in the header has a wrong length";
    return NULL;
}

static const char *
find_fault_of_directory(const Reader *reader, guint64 offset, guint64 size)
{
    guint64 file_size = reader->node->children[STRATA_ROLE_FILE]->size;

    if (reader->n_left == 0 || reader->n_left > QCOW2_MAX_BITMAPS)
        return "the bitmaps extension says 0 bitmaps, or more than 65535";
    if (size > QCOW2_MAX_BITMAP_DIRECTORY)
        return "the bitmap directory is longer than 64 MiB";
    if (!is_aligned(offset, cluster_size(reader->header)))
        return "the bitmap directory's offset is no multiple of the cluster size";
    if (!range_within(offset, size, file_size))
        return "the bitmap directory lies past the end of the file";
    return NULL;
}

static gboolean
has_extension(const Qcow2Header *header)
{
    return header->n_bitmap_extensions > 0 || header->bitmaps_hold;
}

/* FALSE where there is no directory to follow, with a note or @error. */
static gboolean
find_directory(Reader *reader, GError **error)
{
    const Qcow2Header *header = reader->header;
    const char *fault = find_fault_of_extension(header);
    guint8 raw[QCOW2_BITMAPS_LENGTH];
    guint64 size;

    if (fault == NULL) {
        if (!strata_node_read(reader->node->children[STRATA_ROLE_FILE], header->bitmaps_offset,
                              sizeof raw, raw, error))
            return FALSE;
        reader->n_left = load_be32(raw, sizeof raw, QCOW2_BITMAPS_AT_COUNT);
        reader->at = load_be64(raw, sizeof raw, QCOW2_BITMAPS_AT_OFFSET);
        size = load_be64(raw, sizeof raw, QCOW2_BITMAPS_AT_SIZE);
        fault = find_fault_of_directory(reader, reader->at, size);
        reader->end = reader->at + (fault == NULL ? size : 0);
    }
    if (fault != NULL)
        note(reader, "%s", fault);
    return fault == NULL;
}

static gboolean
is_granularity(guint bits)
{
    return bits >= QCOW2_MIN_BITMAP_GRANULARITY_BITS && bits <= QCOW2_MAX_BITMAP_GRANULARITY_BITS;
}

/* What is wrong with the bitmap that an entry describes: a text that lives for ever; NULL if it can
 * be used. The table of one that is in use need not fit the disk any more. */
static const char *
find_fault_of_entry(const Reader *reader, const Entry *entry)
{
    guint64 file_size = reader->node->children[STRATA_ROLE_FILE]->size;
    guint64 table_bytes = (guint64)entry->table_size * sizeof(guint64);

    if (entry->flags & ~QCOW2_BITMAP_FLAGS_KNOWN)
        return "has flags that are reserved";
    if (entry->type != QCOW2_BITMAP_TYPE_DIRTY)
        return "is not of type 1 (dirty tracking)";
    if (entry->extra_size > 0 && !(entry->flags & QCOW2_BITMAP_EXTRA_COMPATIBLE))
        return "has extra data without which it must not be used";
    if (!is_granularity(entry->granularity_bits))
        return "has a granularity that is not from 2^9 to 2^31 bytes";
    if (entry->name_size == 0 || entry->name_size > QCOW2_MAX_BITMAP_NAME)
        return "has a name that is empty or longer than 1023 bytes";
    if (entry->flags & QCOW2_BITMAP_IN_USE)
        return NULL;
    if (!is_aligned(entry->table_offset, cluster_size(reader->header)) ||
        !range_within(entry->table_offset, table_bytes, file_size))
        return "has a table outside the file, or not at a cluster's beginning";
    if (entry->table_size < count_needed_entries(reader->header, entry->granularity_bits))
        return "has a table that is too short for the disk";
    return NULL;
}

/* FALSE where the directory cannot be followed any further. */
static gboolean
read_fixed_part(Reader *reader, Entry *entry, GError **error)
{
    guint8 raw[QCOW2_BITMAP_ENTRY];

    if (!range_within(reader->at, sizeof raw, reader->end) ||
        !strata_node_read(reader->node->children[STRATA_ROLE_FILE], reader->at, sizeof raw, raw,
                          error))
        return FALSE;
    *entry = (Entry){
        .table_offset = load_be64(raw, sizeof raw, QCOW2_BITMAP_AT_TABLE_OFFSET),
        .table_size = load_be32(raw, sizeof raw, QCOW2_BITMAP_AT_TABLE_SIZE),
        .flags = load_be32(raw, sizeof raw, QCOW2_BITMAP_AT_FLAGS),
        .type = raw[QCOW2_BITMAP_AT_TYPE],
        .granularity_bits = raw[QCOW2_BITMAP_AT_GRANULARITY],
        .name_size = load_be16(raw, sizeof raw, QCOW2_BITMAP_AT_NAME_SIZE),
        .extra_size = load_be32(raw, sizeof raw, QCOW2_BITMAP_AT_EXTRA_SIZE),
    };
    entry->length = QCOW2_BITMAP_ENTRY + (guint64)entry->extra_size + entry->name_size;
    entry->length = (entry->length + 7) & ~G_GUINT64_CONSTANT(7);
    return range_within(reader->at, entry->length, reader->end);
}

/* FALSE with @error if the name cannot be read. NULL where there is none that a bitmap could be
 * asked for by. QEMU takes what stands before a NUL for the name, so that much of it is taken. */
static gboolean
read_name(const Reader *reader, const Entry *entry, char **out_name, const char **fault,
          GError **error)
{
    g_autofree char *name = g_malloc0(entry->name_size + 1);

    if (!strata_node_read(reader->node->children[STRATA_ROLE_FILE],
                          reader->at + QCOW2_BITMAP_ENTRY + entry->extra_size, entry->name_size,
                          name, error))
        return FALSE;
    if (!*fault && !g_utf8_validate(name, entry->name_size, NULL))
        *fault = "has a name that is not UTF-8, or with a NUL in it";
    if (*name != '\0' && g_utf8_validate(name, -1, NULL))
        *out_name = g_steal_pointer(&name);
    return TRUE;
}

static void
add_bitmap(Reader *reader, const Entry *entry, const char *name, const char *fault)
{
    StrataBitmap *bitmap = bitmap_add(reader->node, name);
    Qcow2BitmapPlace *place = g_new0(Qcow2BitmapPlace, 1);

    place->table_offset = entry->table_offset;
    place->n_entries = entry->table_size;
    if (is_granularity(entry->granularity_bits))
        bitmap->granularity = G_GUINT64_CONSTANT(1) << entry->granularity_bits;
    bitmap->is_enabled = (entry->flags & QCOW2_BITMAP_AUTO) != 0;
    bitmap->is_consistent = fault == NULL && (entry->flags & QCOW2_BITMAP_IN_USE) == 0;
    bitmap->damage = fault;
    bitmap->data = place;
    bitmap->free_data = g_free;
    g_tree_insert(reader->names, bitmap->name, bitmap);
}

/* The format says that a name stands once. Where it stands twice nobody knows which is meant. */
static void
spoil_double(Reader *reader, StrataBitmap *first)
{
    first->is_consistent = FALSE;
    first->damage = "has a name that stands more than once in the image's directory";
    note(reader, "bitmap %u has the name of one before it", reader->index);
}

static gboolean
read_entry(Reader *reader, GError **error)
{
    g_autofree char *name = NULL;
    StrataBitmap *first;
    const char *fault;
    Entry entry;

    if (!read_fixed_part(reader, &entry, error))
        return FALSE;
    fault = find_fault_of_entry(reader, &entry);
    if (!read_name(reader, &entry, &name, &fault, error))
        return FALSE;
    if (fault != NULL)
        note(reader, "bitmap %u %s", reader->index, fault);
    first = name != NULL ? g_tree_lookup(reader->names, name) : NULL;
    if (first != NULL)
        spoil_double(reader, first);
    else if (name != NULL)
        add_bitmap(reader, &entry, name, fault);
    reader->at += entry.length;
    reader->index++;
    reader->n_left--;
    return TRUE;
}

/* FALSE, with a note, where it is not known which bitmaps there are. */
static gboolean
read_directory(Reader *reader)
{
    g_autoptr(GError) error = NULL;

    if (!has_extension(reader->header))
        return TRUE;
    if (!find_directory(reader, &error) || !kept_take(reader->budget, reader->node, reader->n_left,
                                                      reader->end - reader->at, &error)) {
        if (error != NULL)
            note(reader, "%s", error->message);
        return FALSE;
    }
    while (reader->n_left > 0 && read_entry(reader, &error)) /* each takes one */
        ;
    if (reader->n_left == 0 && reader->at == reader->end)
        return TRUE;
    g_clear_pointer(&reader->node->bitmaps, g_ptr_array_unref);
    note(reader, "the bitmap directory is damaged at 0x%" G_GINT64_MODIFIER "x%s%s", reader->at,
         error != NULL ? ": " : "", error != NULL ? error->message : "");
    return FALSE;
}

char *
qcow2_bitmaps_read(StrataNode *node, const StrataOpener *opener, const Qcow2Header *header)
{
    g_autoptr(GString) damage = g_string_new(NULL);
    g_autoptr(GTree) names = bitmap_names_new();
    Reader reader = {
        .node = node,
        .header = header,
        .budget = opener != NULL ? opener->kept : NULL,
        .names = names,
        .damage = damage,
    };

    node->bitmaps_unknown = !read_directory(&reader);
    if (reader.n_notes > MAX_NOTES)
        g_string_append_printf(damage, "; and %u more faults", reader.n_notes - MAX_NOTES);
    if (node->bitmaps_unknown)
        g_string_append(damage, "; as the names of its bitmaps are not known, none of a node below"
                                " is looked for from here");
    return damage->len > 0 ? g_strdup(damage->str) : NULL;
}
