/* SPDX-License-Identifier: LGPL-2.1-or-later
 * handle.c - connecting and negotiating, without ever waiting longer than was said.
 *
 * The contexts are listed first, because only the list says which layers a server has, and then
 * those are asked for that tell most. */
#include "nbd/handle.h"

#include <poll.h>
#include <string.h>

#include "error.h"
#include "nbd/status.h"
#include "node.h"
#include "objects.h"

#define LAYER_PREFIX  "strata:only:"
#define BITMAP_PREFIX "qemu:dirty-bitmap:"
#define JOINT         "strata:joint"

/* Maps that strata computes from layers, offered in the namespace of bitmaps: not what somebody
 * recorded. */
#define COMPUTED_PREFIX BITMAP_PREFIX "above:"

/* A graph has no room for more layers. */
#define MAX_LAYERS STRATA_MAX_NODES

/* A qcow2 image may keep 65535; those beyond this are passed over. */
#define MAX_BITMAPS 2048

/* Names of any kind in one list: no server has so many. */
#define MAX_LISTED (128 * 1024)

/* NBD protocol, "Block size constraints": what a client may ask of a server that says nothing. */
#define DEFAULT_MAX_PAYLOAD (32 * 1024 * 1024)
#define MAX_MIN_BLOCK       (64 * 1024)

void
remote_export_free(RemoteExport *export)
{
    if (!export)
        return;
    g_ptr_array_unref(export->contexts);
    g_ptr_array_unref(export->layers);
    g_ptr_array_unref(export->bitmaps);
    g_free(export);
}

static RemoteExport *
export_new(void)
{
    RemoteExport *export = g_new0(RemoteExport, 1);

    export->contexts = g_ptr_array_new_with_free_func(g_free);
    export->layers = g_ptr_array_new_with_free_func(g_free);
    export->bitmaps = g_ptr_array_new_with_free_func(g_free);
    return export;
}

static gboolean
same_names(const GPtrArray *a, const GPtrArray *b)
{
    for (guint i = 0; i < MIN(a->len, b->len); i++)
        if (!g_str_equal(a->pdata[i], b->pdata[i]))
            return FALSE;
    return a->len == b->len;
}

char *
remote_export_find_change(const RemoteExport *before, const RemoteExport *now)
{
    if (before->size != now->size)
        return g_strdup_printf("its size is %" G_GUINT64_FORMAT ", and was %" G_GUINT64_FORMAT,
                               now->size, before->size);
    if (!same_names(before->contexts, now->contexts))
        return g_strdup("it answers other questions (metadata contexts) than before");
    if (!same_names(before->layers, now->layers))
        return g_strdup("it has other layers than before");
    if (now->min_block > before->min_block || now->max_payload < before->max_payload)
        return g_strdup("it takes other sizes of requests than before");
    return NULL;
}

char *
remote_handle_explain(void)
{
    const char *text = nbd_get_error();
    const char *words;

    /* libnbd begins its messages with the name of the function that was called. */
    if (!text)
        return g_strdup("the connection broke");
    words = g_str_has_prefix(text, "nbd_") ? strstr(text, ": ") : NULL;
    return strata_escape(words ? words + 2 : text);
}

/* Milliseconds from now to @deadline for poll(): rounded up, so that it is over then. */
static int
poll_timeout(gint64 deadline)
{
    gint64 left = deadline - g_get_monotonic_time();

    return left <= 0 ? 0 : (int)MIN((left + 999) / 1000, G_MAXINT);
}

gboolean
remote_handle_poll(struct nbd_handle *nbd, int wake_fd, gint64 deadline)
{
    unsigned direction = nbd_aio_get_direction(nbd);
    struct pollfd fds[] = {
        { .fd = wake_fd, .events = POLLIN },
        { .fd = direction ? nbd_aio_get_fd(nbd) : -1,
          .events = (direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                    (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0) },
    };

    if (poll(fds, G_N_ELEMENTS(fds), poll_timeout(deadline)) < 0)
        return TRUE;
    /* Failures show in the state of the handle. Whatever is wrong with the descriptor, libnbd finds
     * out by reading or, if that is all it waits for, by writing. */
    if (fds[1].revents & ~POLLOUT && direction & LIBNBD_AIO_DIRECTION_READ)
        nbd_aio_notify_read(nbd);
    else if (fds[1].revents)
        nbd_aio_notify_write(nbd);
    return !fds[0].revents && g_get_monotonic_time() < deadline;
}

/* A handle on its way to an export. */
typedef struct {
    struct nbd_handle *nbd;
    const RemoteTarget *target; /* not owned */
    RemoteExport *export;       /* not owned */
    int wake_fd;
    gint64 deadline; /* monotonic; microseconds */
    RemoteGuard guard;
    guint n_listed;
    gboolean has_joint; /* "strata:joint" is among what the server lists */
} Negotiation;

/* Drives the handle as long as it is connecting or waits for the answer to an option. NULL, or what
 * went wrong. */
static char *
finish_step(Negotiation *step)
{
    struct nbd_handle *nbd = step->nbd;
    RemoteGuard *guard = &step->guard;

    while (nbd_aio_is_connecting(nbd) > 0) {
        remote_socket_note(guard->socket, nbd); /* of a host's addresses the next may be tried */
        if (remote_handle_poll(nbd, step->wake_fd, step->deadline) || guard->reason)
            continue;
        return g_get_monotonic_time() < step->deadline
                   ? g_strdup("it was given up")
                   : g_strdup("the server does not answer to being connected to");
    }
    if (guard->reason)
        return g_strdup(guard->reason);
    if (nbd_aio_is_negotiating(nbd) > 0 || nbd_aio_is_ready(nbd) > 0)
        return NULL;
    return remote_handle_explain();
}

static gboolean
configure_tls(struct nbd_handle *nbd, const RemoteTarget *target)
{
    const TlsCreds *creds = target->creds;

    if (!creds)
        return nbd_set_tls(nbd, LIBNBD_TLS_DISABLE) == 0;
    if (nbd_set_tls(nbd, LIBNBD_TLS_REQUIRE) < 0)
        return FALSE;
    if (creds->type == TLS_CREDS_PSK)
        return nbd_set_tls_psk_file(nbd, target->certificates) == 0 &&
               (!creds->username || nbd_set_tls_username(nbd, creds->username) == 0);
    return nbd_set_tls_certificates(nbd, target->certificates) == 0 &&
           nbd_set_tls_verify_peer(nbd, creds->verify_peer) == 0;
}

static gboolean
start_connecting(struct nbd_handle *nbd, const RemoteTarget *target)
{
    switch (target->transport) {
    case REMOTE_UNIX:
        return nbd_aio_connect_unix(nbd, target->path) == 0;
    case REMOTE_VSOCK:
        return nbd_aio_connect_vsock(nbd, target->cid, target->vsock_port) == 0;
    default:
        return nbd_aio_connect_tcp(nbd, target->host, target->port) == 0;
    }
}

static char *
connect_to(Negotiation *step)
{
    struct nbd_handle *nbd = step->nbd;
    const RemoteTarget *target = step->target;

    /* Requests are aligned to what the server says by us, and the last one may not be: an export
     * need not end at such a border. */
    if (nbd_set_strict_mode(nbd, LIBNBD_STRICT_MASK & ~LIBNBD_STRICT_ALIGN) < 0 ||
        nbd_set_opt_mode(nbd, true) < 0 || nbd_set_export_name(nbd, target->export) < 0 ||
        !configure_tls(nbd, target) || !start_connecting(nbd, target))
        return remote_handle_explain();
    return finish_step(step);
}

static void
keep_layer(Negotiation *step, const char *name)
{
    GPtrArray *layers = step->export->layers;

    if (layers->len < MAX_LAYERS)
        g_ptr_array_add(layers, g_strdup(name));
    else
        remote_guard_cut(&step->guard,
                         g_strdup_printf("the server lists more than %d layers", MAX_LAYERS));
}

static void
keep_bitmap(Negotiation *step, const char *name)
{
    GPtrArray *bitmaps = step->export->bitmaps;

    if (!*name || !g_utf8_validate(name, -1, NULL))
        return;
    if (bitmaps->len < MAX_BITMAPS)
        g_ptr_array_add(bitmaps, g_strdup(name));
    else
        step->export->n_more_bitmaps++;
}

static int
on_listed(void *user_data, const char *name)
{
    Negotiation *step = user_data;

    remote_guard_note_progress(&step->guard);
    if (++step->n_listed > MAX_LISTED)
        remote_guard_cut(
            &step->guard,
            g_strdup_printf("the server lists more than %d metadata contexts", MAX_LISTED));
    else if (g_str_equal(name, JOINT))
        step->has_joint = TRUE;
    else if (g_str_has_prefix(name, LAYER_PREFIX))
        keep_layer(step, name + strlen(LAYER_PREFIX));
    else if (g_str_has_prefix(name, BITMAP_PREFIX) && !g_str_has_prefix(name, COMPUTED_PREFIX))
        keep_bitmap(step, name + strlen(BITMAP_PREFIX));
    return 0;
}

static gboolean
add_contexts(struct nbd_handle *nbd, const char *const *contexts)
{
    if (nbd_clear_meta_contexts(nbd) < 0)
        return FALSE;
    for (; *contexts; contexts++)
        if (nbd_add_meta_context(nbd, *contexts) < 0)
            return FALSE;
    return TRUE;
}

/* A server without structured replies, or without this option, has nothing to list. */
static char *
list_contexts(Negotiation *step)
{
    static const char *const queries[] = { JOINT, LAYER_PREFIX, BITMAP_PREFIX, NULL };

    if (!add_contexts(step->nbd, queries))
        return remote_handle_explain();
    if (nbd_aio_opt_list_meta_context(
            step->nbd, (nbd_context_callback){ .callback = on_listed, .user_data = step },
            NBD_NULL_COMPLETION) < 0)
        return NULL;
    return finish_step(step);
}

static int
keep_errno(void *user_data, int *error)
{
    *(int *)user_data = *error;
    return 1;
}

/* Enters the export with those contexts. */
static char *
enter(Negotiation *step, const char *const *contexts)
{
    struct nbd_handle *nbd = step->nbd;
    int errnum = 0;
    char *reason;
    g_autofree char *shown = strata_escape(step->target->export);

    if (!add_contexts(nbd, contexts) ||
        nbd_aio_opt_go(
            nbd, (nbd_completion_callback){ .callback = keep_errno, .user_data = &errnum }) < 0)
        return remote_handle_explain();
    reason = finish_step(step);
    if (reason || nbd_aio_is_ready(nbd) > 0)
        return reason;
    return g_strdup_printf("the server has no export '%s', or does not let us use it (%s)", shown,
                           g_strerror(errnum));
}

/* What the server granted, in the order of @contexts. */
static void
keep_granted(struct nbd_handle *nbd, RemoteExport *export, const char *const *contexts)
{
    for (; *contexts; contexts++)
        if (nbd_can_meta_context(nbd, *contexts) == 1)
            g_ptr_array_add(export->contexts, g_strdup(*contexts));
}

/* The smallest block of a server that does not speak of it: a byte, if it is new enough to answer
 * block status; else a sector, as long as the export has whole ones. QEMU reasons likewise. */
static guint64
default_min_block(const RemoteExport *export)
{
    return export->contexts->len == 0 && export->size % 512 == 0 ? 512 : 1;
}

static char *
read_sizes(struct nbd_handle *nbd, RemoteExport *export)
{
    int64_t size = nbd_get_size(nbd);
    int64_t min_block = nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);
    int64_t max_payload = nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM);

    if (size < 0)
        return g_strdup("the server says that the export has 2^63 bytes or more");
    export->size = size;
    export->min_block = min_block > 0 ? (guint64)min_block : default_min_block(export);
    if (export->min_block > MAX_MIN_BLOCK || export->min_block & (export->min_block - 1))
        return g_strdup_printf("the server wants requests aligned to %" G_GUINT64_FORMAT
                               " bytes, which is no power of two up to 65536",
                               export->min_block);
    export->max_payload = max_payload > 0 ? (guint64)max_payload : DEFAULT_MAX_PAYLOAD;
    export->max_payload = MIN(export->max_payload, DEFAULT_MAX_PAYLOAD);
    export->max_payload -= export->max_payload % export->min_block;
    if (export->max_payload == 0)
        return g_strdup("the longest request that the server takes is shorter than the shortest");
    return NULL;
}

static const char *const by_layer[] = { "qemu:allocation-depth", JOINT, NULL };
static const char *const by_depth[] = { "base:allocation", "qemu:allocation-depth", NULL };

/* Negotiates with a server that does; an old one is ready at once. @bitmap: (nullable) */
static char *
negotiate(Negotiation *step, const char *bitmap)
{
    RemoteExport *export = step->export;
    g_autofree char *context = bitmap ? g_strconcat(BITMAP_PREFIX, bitmap, NULL) : NULL;
    const char *const by_bitmap[] = { context, NULL };
    const char *const *wanted = bitmap ? by_bitmap : by_depth;
    char *reason = NULL;

    if (nbd_aio_is_ready(step->nbd) > 0)
        return NULL;
    if (!bitmap)
        reason = list_contexts(step);
    if (!reason && export->layers->len > 0 && step->has_joint)
        wanted = by_layer;
    if (!reason)
        reason = enter(step, wanted);
    if (reason)
        return reason;
    keep_granted(step->nbd, export, wanted);
    if (wanted != by_depth && export->contexts->len < g_strv_length((char **)wanted))
        return g_strdup("the server lists metadata contexts and then does not grant them");
    return NULL;
}

struct nbd_handle *
remote_handle_open(const RemoteTarget *target, const char *bitmap, int wake_fd, gint64 deadline,
                   RemoteSocket *socket, RemoteExport **out_export, char **out_reason)
{
    struct nbd_handle *nbd = nbd_create();
    g_autoptr(RemoteExport) export = export_new();
    Negotiation step = {
        .nbd = nbd, .target = target, .export = export, .wake_fd = wake_fd, .deadline = deadline
    };

    if (!nbd) {
        *out_reason = remote_handle_explain();
        return NULL;
    }
    remote_guard_begin(&step.guard, nbd, socket);
    *out_reason = connect_to(&step);
    if (!*out_reason)
        *out_reason = negotiate(&step, bitmap);
    if (!*out_reason)
        *out_reason = read_sizes(nbd, export);
    remote_guard_end(&step.guard);
    if (*out_reason) {
        nbd_close(nbd);
        return NULL;
    }
    export->is_multi_conn = nbd_can_multi_conn(nbd) == 1;
    export->has_tls = nbd_get_tls_negotiated(nbd) == 1;
    *out_export = g_steal_pointer(&export);
    return nbd;
}

void
remote_handle_close(struct nbd_handle *nbd)
{
    if (!nbd)
        return;
    if (nbd_aio_is_ready(nbd) > 0)
        nbd_aio_disconnect(nbd, 0);
    nbd_close(nbd);
}
