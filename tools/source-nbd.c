/* SPDX-License-Identifier: LGPL-2.1-or-later
 * source-nbd.c - the map of a remote export, through libnbd: one block status request after the
 * other, with as many of the contexts below as the server has; or with the one of a bitmap. */
#include "source.h"

#include <string.h>

#include "damage.h"
#include "remote.h"

typedef enum { ALLOCATION, DEPTH, JOINT, BITMAP, N_CONTEXTS } Context;

/* The name of a bitmap follows. */
static const char bitmap_context[] = "qemu:dirty-bitmap:";

/* Bits of base:allocation and strata:joint: strata-contexts(7). */
#define BIT_ZERO         (1 << 1)
#define JOINT_COMPRESSED (1 << 3)
#define JOINT_ENCRYPTED  (1 << 4)
#define JOINT_PAST_END   (1 << 5)
#define JOINT_LAYER(v)   ((v) >> 8)
#define BITMAP_DIRTY     (1 << 0)

/* Below the 32 bits of a request's length, and aligned to any block size. */
#define MAX_REQUEST ((guint64)1 << 31)

/* Every fine step of the search behind a damage is a round trip. */
#define REMOTE_STEP       65536
#define REMOTE_FINE_STEPS 4096

typedef struct {
    guint64 length; /* bytes, never 0 */
    guint32 value;
} Status;

typedef struct {
    MapSource source; /* first: a NbdSource is a MapSource */
    RemoteHandle *nbd;
    guint64 block;                /* requests are aligned to this */
    char *names[N_CONTEXTS];      /* owned; NULL for those that are not wanted */
    gboolean offered[N_CONTEXTS]; /* negotiated for this export */
    GArray *replies[N_CONTEXTS];  /* of Status: the last reply */
    DamageSearch search;
} NbdSource;

/* The entries of one context: pairs of a length and a value. */
static int
source_nbd_keep_reply(void *user_data, const char *name, uint64_t offset, uint32_t *entries,
                      size_t n_entries, int *out_errno)
{
    NbdSource *self = user_data;

    for (guint context = 0; context < N_CONTEXTS; context++) {
        if (g_strcmp0(name, self->names[context]) != 0)
            continue;
        g_array_set_size(self->replies[context], 0);
        for (gsize i = 0; i + 1 < n_entries; i += 2) {
            Status status = { .length = entries[i], .value = entries[i + 1] };

            if (status.length > 0)
                g_array_append_val(self->replies[context], status);
        }
    }
    return 0;
}

static gboolean
source_nbd_ask(NbdSource *self, guint64 offset, guint64 length)
{
    for (guint context = 0; context < N_CONTEXTS; context++)
        g_array_set_size(self->replies[context], 0);
    return nbd_block_status(
               self->nbd, length, offset,
               (nbd_extent_callback){ .callback = source_nbd_keep_reply, .user_data = self },
               0) == 0;
}

static gboolean
source_nbd_is_connected(NbdSource *self)
{
    return nbd_aio_is_ready(self->nbd) == 1;
}

static gboolean
source_nbd_probe(guint64 offset, gpointer data)
{
    NbdSource *self = data;
    guint64 start = offset - offset % self->block;

    /* A lost connection ends the search; the next request then reports it. */
    return source_nbd_ask(self, start, MIN(self->block, self->source.size - start)) ||
           !source_nbd_is_connected(self);
}

/* One extent from one value of each context. */
static Extent
source_nbd_extent(const NbdSource *self, const guint32 *values)
{
    guint32 joint = values[JOINT];
    Extent extent = { .content = CONTENT_UNKNOWN,
                      .depth = EXTENT_UNKNOWN,
                      .layer = EXTENT_UNKNOWN };

    if (self->offered[BITMAP])
        extent.content = values[BITMAP] & BITMAP_DIRTY ? CONTENT_DIRTY : CONTENT_CLEAN;
    if (self->offered[ALLOCATION] || self->offered[JOINT])
        extent.content = (values[ALLOCATION] | joint) & BIT_ZERO ? CONTENT_ZERO : CONTENT_DATA;
    if (self->offered[DEPTH])
        extent.depth = values[DEPTH];
    if (self->offered[JOINT])
        extent.layer = JOINT_LAYER(joint);
    extent.flags = (extent.content == CONTENT_ZERO ? STRATA_RUN_ZERO : 0) |
                   (joint & JOINT_COMPRESSED ? STRATA_RUN_COMPRESSED : 0) |
                   (joint & JOINT_ENCRYPTED ? STRATA_RUN_ENCRYPTED : 0) |
                   (joint & JOINT_PAST_END ? STRATA_RUN_PAST_END : 0);
    return extent;
}

/* The contexts are cut in different places: reads their lists side by side. */
typedef struct {
    guint index[N_CONTEXTS];  /* of the entry at hand */
    guint64 used[N_CONTEXTS]; /* bytes of it that are behind us */
} Cursor;

/* The values at the cursor and for how many bytes they hold; 0 where a list is at its end. */
static guint64
source_nbd_at_cursor(const NbdSource *self, const Cursor *cursor, guint32 *out_values)
{
    guint64 length = G_MAXUINT64;

    for (guint context = 0; context < N_CONTEXTS; context++) {
        const GArray *reply = self->replies[context];
        const Status *status;

        out_values[context] = 0;
        if (!self->offered[context])
            continue;
        if (cursor->index[context] >= reply->len)
            return 0;
        status = &g_array_index(reply, Status, cursor->index[context]);
        out_values[context] = status->value;
        length = MIN(length, status->length - cursor->used[context]);
    }
    return length;
}

static void
source_nbd_move_cursor(const NbdSource *self, Cursor *cursor, guint64 length)
{
    for (guint context = 0; context < N_CONTEXTS; context++) {
        if (!self->offered[context])
            continue;
        cursor->used[context] += length;
        if (cursor->used[context] ==
            g_array_index(self->replies[context], Status, cursor->index[context]).length) {
            cursor->index[context]++;
            cursor->used[context] = 0;
        }
    }
}

/* Hands over the part of the reply, which begins at @start, that lies in [*offset, end), and moves
 * @offset behind it; says whether more are wanted. */
static gboolean
source_nbd_deliver(NbdSource *self, guint64 start, guint64 *offset, guint64 end, ExtentSink sink,
                   gpointer data)
{
    Cursor cursor = { 0 };
    guint32 values[N_CONTEXTS];
    guint64 length;

    /* A turn moves start forward; a server's last extent may reach beyond what was asked. */
    while (start < end && (length = source_nbd_at_cursor(self, &cursor, values)) > 0) {
        Extent extent = source_nbd_extent(self, values);
        guint64 extent_end = start + MIN(length, end - start);

        source_nbd_move_cursor(self, &cursor, length);
        start = extent_end;
        if (extent_end <= *offset)
            continue;
        extent.offset = *offset;
        extent.length = extent_end - *offset;
        *offset = extent_end;
        if (!sink(&extent, data))
            return FALSE;
    }
    return TRUE;
}

/* Why the last request failed, which was about @offset. */
static char *
source_nbd_explain_failure(guint64 offset)
{
    int errnum = nbd_get_errno();
    g_autofree char *reason =
        errnum != 0 ? g_strdup(g_strerror(errnum)) : strata_escape(nbd_get_error());

    return g_strdup_printf("the server cannot tell the range at 0x%" G_GINT64_MODIFIER "x: %s",
                           offset, reason);
}

static gboolean
source_nbd_deliver_damage(NbdSource *self, guint64 *offset, guint64 end, ExtentSink sink,
                          gpointer data)
{
    g_autofree char *message = source_nbd_explain_failure(*offset);
    Extent extent =
        damage_find_extent(&self->search, *offset, end, source_nbd_probe, self, message);

    *offset += extent.length;
    return sink(&extent, data);
}

/* One request and its reply; *out_more says whether the map goes on. */
static gboolean
source_nbd_some(NbdSource *self, guint64 *offset, guint64 end, ExtentSink sink, gpointer data,
                gboolean *out_more, GError **error)
{
    guint64 start = *offset - *offset % self->block;
    guint64 before = *offset;

    if (!source_nbd_ask(self, start, MIN(MAX_REQUEST, self->source.size - start))) {
        if (!source_nbd_is_connected(self))
            return remote_throw(error, "the connection broke");
        *out_more = source_nbd_deliver_damage(self, offset, end, sink, data);
        return TRUE;
    }
    *out_more = source_nbd_deliver(self, start, offset, end, sink, data);
    if (*offset == before) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_REMOTE,
                    "the server broke the protocol: its answer to a block status request at "
                    "0x%" G_GINT64_MODIFIER "x holds no extent for that offset",
                    start);
        return FALSE;
    }
    return TRUE;
}

static gboolean
source_nbd_each(MapSource *source, guint64 offset, guint64 length, ExtentSink sink, gpointer data,
                GError **error)
{
    NbdSource *self = (NbdSource *)source;
    guint64 end = offset + length;
    gboolean more = TRUE;

    while (more && offset < end)
        if (!source_nbd_some(self, &offset, end, sink, data, &more, error))
            return FALSE;
    return TRUE;
}

static void
source_nbd_free(MapSource *source)
{
    NbdSource *self = (NbdSource *)source;

    if (source_nbd_is_connected(self))
        nbd_shutdown(self->nbd, 0);
    nbd_close(self->nbd);
    for (guint context = 0; context < N_CONTEXTS; context++) {
        g_array_unref(self->replies[context]);
        g_free(self->names[context]);
    }
    g_ptr_array_unref(source->layers);
    g_free(self);
}

/* "'b0', 'above:base'", for a message; "none" if the server lists none. */
static char *
source_nbd_list_bitmaps(GPtrArray *contexts)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < contexts->len; i++) {
        const char *context = contexts->pdata[i];
        g_autofree char *shown = NULL;

        if (!g_str_has_prefix(context, bitmap_context))
            continue;
        shown = strata_escape(context + strlen(bitmap_context));
        g_string_append_printf(names, "%s'%s'", names->len > 0 ? ", " : "", shown);
    }
    return names->len > 0 ? g_string_free(g_steal_pointer(&names), FALSE) : g_strdup("none");
}

static gboolean
source_nbd_throw_no_bitmap(const char *name, GPtrArray *contexts, GError **error)
{
    g_autofree char *shown = strata_escape(name);
    g_autofree char *names = source_nbd_list_bitmaps(contexts);

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "the server offers no dirty bitmap '%s' for this export (the context %s%s); those "
                "that it lists: %s",
                shown, bitmap_context, shown, names);
    return FALSE;
}

static gboolean
source_nbd_check_offered(NbdSource *self, GError **error)
{
    gboolean any = FALSE;

    for (guint context = 0; context < N_CONTEXTS; context++) {
        const char *name = self->names[context];

        self->offered[context] = name != NULL && nbd_can_meta_context(self->nbd, name) == 1;
        any = any || self->offered[context];
    }
    self->source.has_layers = self->offered[JOINT];
    self->source.has_depth = self->offered[DEPTH];
    self->source.is_bitmap = self->offered[BITMAP];
    if (any || self->names[BITMAP] != NULL)
        return TRUE;
    g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_UNSUPPORTED,
                        "the server offers none of base:allocation, qemu:allocation-depth and "
                        "strata:joint for this export, so there is no map of it to be had");
    return FALSE;
}

static gboolean
source_nbd_get_size(RemoteHandle *nbd, guint64 *out_size, GError **error)
{
    int64_t size = nbd_get_size(nbd);

    if (size < 0)
        return remote_throw(error, "cannot learn the size of the export");
    *out_size = (guint64)size;
    return TRUE;
}

/* @nbd is taken over. */
static NbdSource *
source_nbd_alloc(RemoteHandle *nbd, GPtrArray *contexts, const char *bitmap)
{
    NbdSource *self = g_new0(NbdSource, 1);

    self->nbd = nbd;
    self->search = (DamageSearch){ REMOTE_STEP, REMOTE_FINE_STEPS, DAMAGE_PATIENCE };
    for (guint context = 0; context < N_CONTEXTS; context++)
        self->replies[context] = g_array_new(FALSE, FALSE, sizeof(Status));
    if (bitmap != NULL) {
        self->names[BITMAP] = g_strconcat(bitmap_context, bitmap, NULL);
    } else {
        self->names[ALLOCATION] = g_strdup("base:allocation");
        self->names[DEPTH] = g_strdup("qemu:allocation-depth");
        self->names[JOINT] = g_strdup("strata:joint");
    }
    self->source.layers = remote_list_layers(contexts);
    self->source.each = source_nbd_each;
    self->source.free = source_nbd_free;
    return self;
}

static gboolean
source_nbd_enter(NbdSource *self, GError **error)
{
    g_autoptr(GPtrArray) wanted = g_ptr_array_new();

    for (guint context = 0; context < N_CONTEXTS; context++)
        if (self->names[context] != NULL)
            g_ptr_array_add(wanted, self->names[context]);
    g_ptr_array_add(wanted, NULL);
    if (!remote_enter(self->nbd, (const char *const *)wanted->pdata, error) ||
        !source_nbd_get_size(self->nbd, &self->source.size, error) ||
        !source_nbd_check_offered(self, error))
        return FALSE;
    self->block = (guint64)MAX(nbd_get_block_size(self->nbd, LIBNBD_SIZE_MINIMUM), 1);
    return TRUE;
}

MapSource *
source_new_nbd(const char *uri, const char *bitmap, GError **error)
{
    g_autoptr(RemoteHandle) nbd = remote_connect(uri, error);
    g_autoptr(GPtrArray) contexts = NULL;
    g_autoptr(MapSource) source = NULL;
    NbdSource *self;

    if (nbd == NULL)
        return NULL;
    contexts = remote_list_contexts(nbd);
    self = source_nbd_alloc(g_steal_pointer(&nbd), contexts, bitmap);
    source = &self->source;
    if (!source_nbd_enter(self, error))
        return NULL;
    if (bitmap != NULL && !source->is_bitmap) {
        source_nbd_throw_no_bitmap(bitmap, contexts, error);
        return NULL;
    }
    return g_steal_pointer(&source);
}
