/* SPDX-License-Identifier: LGPL-2.1-or-later
 * holes.c - the remembered holes of a host file.
 *
 * What was found is kept in blocks of consecutive extents, sorted and disjoint, with unknown ground
 * between them; a list of blocks is immutable, so that any number of threads look things up in it
 * without a lock. A question about unknown ground seeks on from there for up to a block's worth of
 * extents and publishes a new list.
 *
 *     list ──> [block 0-3 MiB: data hole data]   unknown   [block 9-12 MiB: hole data] ... */
#include "holes.h"

#include <errno.h>
#include <unistd.h>

#include "file-stamp.h"

/* How many extents one question may seek for: some hundred microseconds. */
#define BLOCK_EXTENTS 256

/* 4096 blocks are a million extents, 8 MiB. One more, and all is forgotten and found anew. What is
 * found anew is the same, but for one thing: file systems call allocated blocks that nobody wrote a
 * hole until somebody reads them, and data from then on. A known zero may so become data, which is
 * as true; never the reverse while the file is unchanged. */
#define MAX_BLOCKS 4096

typedef struct {
    guint64 end : 63; /* bytes from the beginning of the file */
    guint64 is_hole : 1;
} HoleExtent;

/* Extents one after the other; neighbours differ. */
struct _HoleBlock {
    gint ref_count; /* atomic */
    guint64 start;
    guint n_extents; /* at least 1 */
    HoleExtent extents[];
};

struct _HoleList {
    gint ref_count; /* atomic */
    FileStamp stamp;
    gboolean is_settled; /* a change after the stamp was taken would show in the next one */
    guint state;         /* of all files, in which the stamp was that of the file; 0: none. Under
                            the map's lock */
    GPtrArray *blocks;   /* HoleBlock, referenced; by start; disjoint */
};

struct _HoleMap {
    int fd;
    guint64 size;
    GMutex lock; /* guards .list, the pointer and not what it points to; held for no system call */
    HoleList *list;
};

static void
hole_block_unref(HoleBlock *block)
{
    if (block && g_atomic_int_dec_and_test(&block->ref_count))
        g_free(block);
}

static HoleBlock *
hole_block_ref(HoleBlock *block)
{
    g_atomic_int_inc(&block->ref_count);
    return block;
}

static guint64
hole_block_end(const HoleBlock *block)
{
    return block->extents[block->n_extents - 1].end;
}

static HoleList *
hole_list_new(const FileStamp *stamp)
{
    HoleList *list = g_new0(HoleList, 1);

    list->ref_count = 1;
    list->stamp = *stamp;
    list->is_settled = file_stamp_is_settled(stamp);
    list->blocks = g_ptr_array_new_with_free_func((GDestroyNotify)hole_block_unref);
    return list;
}

static HoleList *
hole_list_ref(HoleList *list)
{
    g_atomic_int_inc(&list->ref_count);
    return list;
}

static void
hole_list_unref(HoleList *list)
{
    if (g_atomic_int_dec_and_test(&list->ref_count)) {
        g_ptr_array_unref(list->blocks);
        g_free(list);
    }
}

/* The index of the first block that ends after @offset; the number of blocks if there is none. */
static guint
hole_list_search(const HoleList *list, guint64 offset)
{
    guint low = 0, high = list->blocks->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (hole_block_end(list->blocks->pdata[middle]) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* A copy of @list with @block in it. */
static HoleList *
hole_list_with(const HoleList *list, HoleBlock *block)
{
    HoleList *longer = hole_list_new(&list->stamp);
    guint at = hole_list_search(list, block->start);

    longer->is_settled = list->is_settled; /* it holds what was found since then */
    for (guint i = 0; i < list->blocks->len && list->blocks->len < MAX_BLOCKS; i++) {
        if (i == at)
            g_ptr_array_add(longer->blocks, hole_block_ref(block));
        g_ptr_array_add(longer->blocks, hole_block_ref(list->blocks->pdata[i]));
    }
    if (at >= longer->blocks->len)
        g_ptr_array_add(longer->blocks, hole_block_ref(block));
    return longer;
}

static gboolean
hole_list_overlaps(const HoleList *list, const HoleBlock *block)
{
    guint at = hole_list_search(list, block->start);
    const HoleBlock *next = at < list->blocks->len ? list->blocks->pdata[at] : NULL;

    return next && next->start < hole_block_end(block);
}

/* A file that cannot be examined is one of 0 bytes: nothing of it is a hole. Its reads will fail.
 */
static FileStamp
stamp_of(int fd)
{
    FileStamp stamp;

    file_stamp_take(fd, &stamp);
    return stamp;
}

HoleMap *
hole_map_new(int fd, guint64 size)
{
    HoleMap *map = g_new0(HoleMap, 1);
    FileStamp stamp = stamp_of(fd);

    map->fd = fd;
    map->size = size;
    map->list = hole_list_new(&stamp);
    g_mutex_init(&map->lock);
    return map;
}

void
hole_map_free(HoleMap *map)
{
    hole_list_unref(map->list);
    g_mutex_clear(&map->lock);
    g_free(map);
}

/* Returns a new reference, or NULL if the file has to be examined. */
static HoleList *
take_list_of(HoleMap *map, guint state)
{
    HoleList *list = NULL;

    g_mutex_lock(&map->lock);
    if (state && map->list->state == state)
        list = hole_list_ref(map->list);
    g_mutex_unlock(&map->lock);
    return list;
}

/* Takes a stamp, and forgets everything where it is another one. In the state @state it need not be
 * taken again: a change that it does not show makes another state, as any change does. */
static HoleList *
take_list_by_stamp(HoleMap *map, guint state)
{
    FileStamp stamp = stamp_of(map->fd);
    HoleList *outdated = NULL;
    HoleList *list;

    g_mutex_lock(&map->lock);
    if (!map->list->is_settled || !file_stamp_equal(&map->list->stamp, &stamp)) {
        outdated = map->list;
        map->list = hole_list_new(&stamp);
    }
    map->list->state = state;
    list = hole_list_ref(map->list);
    g_mutex_unlock(&map->lock);
    g_clear_pointer(&outdated, hole_list_unref);
    return list;
}

void
hole_view_open(HoleView *view, HoleMap *map, guint state)
{
    HoleList *list = take_list_of(map, state);

    *view = (HoleView){ .map = map, .list = list ? list : take_list_by_stamp(map, state) };
}

void
hole_view_clear(HoleView *view)
{
    hole_block_unref(view->block);
    if (view->list)
        hole_list_unref(view->list);
}

gboolean
hole_view_renew(HoleView *view, guint state)
{
    HoleMap *map = view->map;
    FileStamp stamp = stamp_of(map->fd);

    if (view->list->is_settled && file_stamp_equal(&view->list->stamp, &stamp))
        return TRUE;
    hole_view_clear(view);
    *view = (HoleView){ .map = map, .list = take_list_by_stamp(map, state) };
    return FALSE;
}

/* Remembers @block for all, unless the file changed meanwhile or another thread was faster; the
 * view sees what is remembered now. A list is copied without the lock, and copied again if somebody
 * else published one in between; but what was found before a stamp could be believed is nothing for
 * a list whose stamp is, though it be the same. */
static void
publish(HoleView *view, HoleBlock *block)
{
    HoleMap *map = view->map;

    while (!hole_list_overlaps(view->list, block)) {
        HoleList *longer = hole_list_with(view->list, block);
        HoleList *previous = view->list;
        gboolean is_current;

        g_mutex_lock(&map->lock);
        is_current = map->list == previous;
        if (is_current) {
            longer->state = previous->state;
            hole_list_unref(map->list); /* never the last reference: the view has one */
            map->list = hole_list_ref(longer);
            view->list = longer;
        } else {
            view->list = hole_list_ref(map->list);
        }
        g_mutex_unlock(&map->lock);
        if (is_current) {
            hole_list_unref(previous);
            return;
        }
        hole_list_unref(longer);
        if (!file_stamp_equal(&view->list->stamp, &previous->stamp) ||
            view->list->is_settled != previous->is_settled) {
            hole_list_unref(view->list);
            view->list = previous;
            return;
        }
        hole_list_unref(previous);
    }
}

/* The extent that begins at @offset; it ends after @offset and at most at @limit, whatever the
 * file system says. @file_size: what the file has now. Where it cannot tell (no support, a file
 * that shrank) all is data: reading it tells then. The file position that this moves is nobody's:
 * everything else uses pread(). */
static HoleExtent
seek_extent(int fd, guint64 offset, guint64 limit, guint64 file_size)
{
    const HoleExtent rest_is_data = { .end = limit, .is_hole = FALSE };
    off_t data = offset < file_size ? lseek(fd, (off_t)offset, SEEK_DATA) : -1;
    off_t hole;

    if (offset >= file_size)
        return rest_is_data;
    if (data < 0 && (errno != ENXIO || stamp_of(fd).size < file_size))
        return rest_is_data;
    if (data < 0)
        return (HoleExtent){ .end = MIN(limit, file_size), .is_hole = TRUE };
    if ((guint64)data > offset)
        return (HoleExtent){ .end = MIN((guint64)data, limit), .is_hole = TRUE };
    hole = lseek(fd, (off_t)offset, SEEK_HOLE);
    if (hole < 0 || (guint64)hole <= offset)
        return rest_is_data;
    return (HoleExtent){ .end = MIN((guint64)hole, limit), .is_hole = FALSE };
}

/* Seeks from @offset on, as far as a block reaches and not beyond @limit. */
static HoleBlock *
seek_block(const HoleView *view, guint64 offset, guint64 limit)
{
    guint64 file_size = view->list->stamp.size;
    HoleBlock *block = g_malloc(sizeof *block + BLOCK_EXTENTS * sizeof block->extents[0]);
    guint64 position = offset;

    block->ref_count = 1;
    block->start = offset;
    block->n_extents = 0;
    /* Moves forward: every extent ends after it began. */
    while (position < limit) {
        HoleExtent found = seek_extent(view->map->fd, position, limit, file_size);
        HoleExtent *last = block->n_extents ? &block->extents[block->n_extents - 1] : NULL;

        if (last && last->is_hole == found.is_hole)
            last->end = found.end;
        else if (block->n_extents < BLOCK_EXTENTS)
            block->extents[block->n_extents++] = found;
        else
            break;
        position = found.end;
    }
    return g_realloc(block, sizeof *block + block->n_extents * sizeof block->extents[0]);
}

/* Makes view->block the block that holds @offset. */
static void
find_block(HoleView *view, guint64 offset)
{
    guint at = hole_list_search(view->list, offset);
    HoleBlock *next = at < view->list->blocks->len ? view->list->blocks->pdata[at] : NULL;

    hole_block_unref(view->block);
    view->extent = 0;
    if (next && next->start <= offset) {
        view->block = hole_block_ref(next);
        return;
    }
    view->block = seek_block(view, offset, next ? next->start : view->map->size);
    publish(view, view->block);
}

static guint64
extent_start(const HoleBlock *block, guint extent)
{
    return extent ? block->extents[extent - 1].end : block->start;
}

/* The first extent of @block that ends after @offset, which lies within the block. */
static guint
search_extent(const HoleBlock *block, guint64 offset)
{
    guint low = 0, high = block->n_extents - 1;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (block->extents[middle].end > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

guint64
hole_view_find(HoleView *view, guint64 offset, gboolean *out_is_hole)
{
    const HoleBlock *block = view->block;
    guint extent = view->extent;

    if (!block || offset < block->start || offset >= hole_block_end(block)) {
        find_block(view, offset);
        block = view->block;
        extent = search_extent(block, offset);
    } else if (offset < extent_start(block, extent) || offset >= block->extents[extent].end) {
        extent = search_extent(block, offset);
    }
    view->extent = extent;
    *out_is_hole = block->extents[extent].is_hole;
    return block->extents[extent].end;
}
