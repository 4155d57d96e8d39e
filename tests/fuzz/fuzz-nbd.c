/* SPDX-License-Identifier: LGPL-2.1-or-later
 * fuzz-nbd.c - any bytes as what an NBD client says, from its flags to its farewell.
 *
 * Whatever the bytes are, the server begins with its greeting and ends the connection when the
 * client has said all it had, and nothing of it stays. */
#include "engine.h"
#include "fuzz.h"
#include "mem-node.h"
#include "protocol/proto.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE         65536
#define LONGEST_WAIT 60000 /* ms: by then a server that is alive has done something */

/* What the session is in; extended requests are of another layout. */
typedef struct {
    gboolean structured, extended;
} Mode;

/* What is wrong with a client is told in a line, and here all of them are wrong. */
static void
ignore_message(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

static StrataGraph *
new_graph(void)
{
    g_autofree guint8 *bytes = g_malloc0(SIZE);

    g_log_set_handler("strata", G_LOG_LEVEL_MESSAGE, ignore_message, NULL);
    memset(bytes, 0x11, SIZE / 2);
    return mem_graph_new(mem_leaf_new("leaf", bytes, SIZE));
}

static StrataEngine *
new_engine(void)
{
    static StrataGraph *graph;
    g_autoptr(StrataExports) exports = strata_exports_new();
    g_autoptr(GError) error = NULL;

    if (graph == NULL)
        graph = new_graph();
    strata_exports_add(exports, "disk", "words", graph, &error);
    g_assert_no_error(error);
    return strata_engine_new(g_steal_pointer(&exports), NULL);
}

/* Sends what the server takes, from @at on. */
static gsize
send_some(int fd, const guint8 *data, gsize size, gsize at)
{
    gssize sent = send(fd, data + at, size - at, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0) /* it has hung up, or its socket is full */
        return errno == EAGAIN ? at : size;
    return at + (gsize)sent;
}

/* Returns FALSE when the server has hung up. */
static gboolean
receive_some(int fd, GByteArray *beginning)
{
    guint8 buffer[SIZE];
    gssize received = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);

    if (received > 0 && beginning->len < sizeof(NbdGreeting))
        g_byte_array_append(beginning, buffer, (guint)received);
    return received > 0 || (received < 0 && errno == EAGAIN);
}

/* Says it all, and listens to the end. */
static void
converse(int fd, const guint8 *data, gsize size, GByteArray *beginning)
{
    gboolean open = TRUE;
    gsize at = 0;

    while (open) {
        struct pollfd entry = { .fd = fd, .events = POLLIN };

        if (at < size)
            entry.events |= POLLOUT;
        g_assert_cmpint(poll(&entry, 1, LONGEST_WAIT), ==, 1);
        if (entry.revents & POLLOUT) {
            at = send_some(fd, data, size, at);
            if (at == size)
                shutdown(fd, SHUT_WR);
        }
        if (entry.revents & (POLLIN | POLLHUP | POLLERR))
            open = receive_some(fd, beginning);
    }
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    static const char greeting[] = "NBDMAGICIHAVEOPT\0\3";
    g_autoptr(StrataEngine) engine = new_engine();
    g_autoptr(GByteArray) beginning = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    strata_engine_serve(engine, fds[1], &error);
    g_assert_no_error(error);
    if (size == 0)
        shutdown(fds[0], SHUT_WR);
    converse(fds[0], data, size, beginning);
    close(fds[0]);
    g_assert_cmpuint(beginning->len, >=, sizeof greeting - 1);
    g_assert_cmpmem(beginning->data, sizeof greeting - 1, greeting, sizeof greeting - 1);
    return 0;
}

static void
put(GByteArray *out, guint64 value, guint width)
{
    guint64 big_endian = GUINT64_TO_BE(value);

    g_byte_array_append(out, (const guint8 *)&big_endian + sizeof value - width, width);
}

static void
put_text(GByteArray *out, const char *text)
{
    put(out, strlen(text), 4);
    g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text));
}

static void
put_option(GByteArray *out, guint32 number, const GByteArray *data)
{
    put(out, NBD_OPTION_MAGIC, 8);
    put(out, number, 4);
    put(out, data == NULL ? 0 : data->len, 4);
    if (data != NULL)
        g_byte_array_append(out, data->data, data->len);
}

static void
put_info(GByteArray *out, guint32 number)
{
    g_autoptr(GByteArray) data = g_byte_array_new();

    put_text(data, "disk");
    put(data, 3, 2);
    for (guint16 type = NBD_INFO_NAME; type <= NBD_INFO_BLOCK_SIZE; type++)
        put(data, type, 2);
    put_option(out, number, data);
}

static void
put_contexts(GByteArray *out, guint32 number)
{
    g_autoptr(GByteArray) data = g_byte_array_new();

    put_text(data, "disk");
    put(data, 2, 4);
    put_text(data, number == NBD_OPT_LIST_META_CONTEXT ? "strata:" : "strata:joint");
    put_text(data, "base:allocation");
    put_option(out, number, data);
}

static void
put_request(GByteArray *out, Mode mode, guint16 type, guint16 flags, guint32 length)
{
    put(out, mode.extended ? NBD_EXT_REQUEST_MAGIC : NBD_REQUEST_MAGIC, 4);
    put(out, flags, 2);
    put(out, type, 2);
    put(out, 7, 8);
    put(out, type == NBD_CMD_FLUSH ? 0 : 512, 8);
    put(out, length, mode.extended ? 8 : 4);
}

static void
put_requests(GByteArray *out, Mode mode)
{
    put_request(out, mode, NBD_CMD_READ, 0, 40000);
    put_request(out, mode, NBD_CMD_BLOCK_STATUS, 0, 60000);
    put_request(out, mode, NBD_CMD_FLUSH, 0, 0);
    put_request(out, mode, NBD_CMD_CACHE, 0, 512);
    put_request(out, mode, NBD_CMD_WRITE, mode.extended ? NBD_CMD_FLAG_PAYLOAD_LEN : 0, 8);
    put(out, 0x7061796c6f6164ff, 8);
    if (mode.extended) {
        put_request(out, mode, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_PAYLOAD_LEN, 12);
        put(out, 4096, 8);
        put(out, 1, 4);
    }
    put_request(out, mode, NBD_CMD_TRIM, 0, 512);
    put_request(out, mode, NBD_CMD_READ, 0, 1);
    put_request(out, mode, NBD_CMD_DISC, 0, 0);
}

/* A whole session in each mode, and one that only haggles. */
GByteArray *
fuzz_make_seed(guint number)
{
    const Mode mode = { .structured = number == 1, .extended = number == 2 };
    GByteArray *seed;

    if (number > 3)
        return NULL;
    seed = g_byte_array_new();
    put(seed, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES, 4);
    if (number == 3) {
        put_option(seed, NBD_OPT_LIST, NULL);
        put_info(seed, NBD_OPT_INFO);
        put_contexts(seed, NBD_OPT_LIST_META_CONTEXT);
        put_option(seed, NBD_OPT_STARTTLS, NULL);
        put_option(seed, NBD_OPT_ABORT, NULL);
        return seed;
    }
    if (mode.structured)
        put_option(seed, NBD_OPT_STRUCTURED_REPLY, NULL);
    if (mode.extended)
        put_option(seed, NBD_OPT_EXTENDED_HEADERS, NULL);
    put_contexts(seed, NBD_OPT_SET_META_CONTEXT);
    put_info(seed, NBD_OPT_GO);
    put_requests(seed, mode);
    return seed;
}
