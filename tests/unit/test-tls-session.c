/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-tls-session.c - a TLS session with GnuTLS itself as its client, which can do what polite
 * clients of NBD never do: ask for new keys in the midst of everything, shake hands again, end
 * without a word. */
#include "engine/stream.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANY_VERSION "NORMAL:-KX-ALL:+ECDHE-PSK"
#define OLD_VERSION ANY_VERSION ":-VERS-ALL:+VERS-TLS1.2"
#define BLOCK       (100 * 1000)
#define N_BLOCKS    100

typedef struct {
    TlsCredentials *credentials;
    Stream stream; /* the server's end */
    int fd;        /* the client's */
    gnutls_session_t client;
    gnutls_psk_client_credentials_t client_credentials;
    gboolean agreed; /* the server has shaken hands */
} Fixture;

static void
load_credentials(Fixture *fixture)
{
    g_autofree char *folder = g_dir_make_tmp("st.XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "keys", NULL);
    TlsCredentialFiles files = { .psk_file = path };
    g_autoptr(GError) error = NULL;

    g_file_set_contents_full(path, "alice:00112233\n", -1, G_FILE_SET_CONTENTS_NONE, 0600, &error);
    g_assert_no_error(error);
    fixture->credentials = tls_credentials_load(&files, &error);
    g_assert_no_error(error);
    g_unlink(path);
    g_rmdir(folder);
}

static gpointer
shake_hands(gpointer data)
{
    Fixture *fixture = data;
    g_autoptr(GError) error = NULL;
    TlsSession *session =
        tls_session_new(fixture->credentials, fixture->stream.fd, &fixture->stream.moved, &error);

    g_assert_no_error(error);
    fixture->agreed = tls_session_handshake(session, &error);
    stream_start_tls(&fixture->stream, session);
    return NULL;
}

/* Returns the client's status. */
static int
connect_client(Fixture *fixture, const char *priority)
{
    gnutls_datum_t key = { .data = (guint8 *)"00112233", .size = 8 };
    GThread *server;
    int status;

    gnutls_psk_allocate_client_credentials(&fixture->client_credentials);
    gnutls_psk_set_client_credentials(fixture->client_credentials, "alice", &key,
                                      GNUTLS_PSK_KEY_HEX);
    gnutls_init(&fixture->client, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
    g_assert_cmpint(gnutls_priority_set_direct(fixture->client, priority, NULL), ==, 0);
    gnutls_credentials_set(fixture->client, GNUTLS_CRD_PSK, fixture->client_credentials);
    gnutls_transport_set_int(fixture->client, fixture->fd);
    server = g_thread_new("server", shake_hands, fixture);
    do
        status = gnutls_handshake(fixture->client);
    while (status < 0 && !gnutls_error_is_fatal(status));
    if (status < 0)
        shutdown(fixture->fd, SHUT_RDWR);
    g_thread_join(server);
    return status;
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    int ends[2];

    load_credentials(fixture);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    stream_init(&fixture->stream, ends[0]);
    fixture->fd = ends[1];
    if (data == NULL)
        return;
    g_assert_cmpint(connect_client(fixture, data), ==, 0);
    g_assert_true(fixture->agreed);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    if (fixture->client != NULL)
        gnutls_deinit(fixture->client);
    if (fixture->client_credentials != NULL)
        gnutls_psk_free_client_credentials(fixture->client_credentials);
    close(fixture->fd);
    if (fixture->stream.fd >= 0)
        stream_close(&fixture->stream);
    tls_credentials_unref(fixture->credentials);
}

static gssize
receive_as_client(Fixture *fixture, guint8 *buffer, gsize length)
{
    gssize received;

    do
        received = gnutls_record_recv(fixture->client, buffer, length);
    while (received == GNUTLS_E_AGAIN || received == GNUTLS_E_INTERRUPTED);
    return received;
}

static void
fill(guint8 *block, guint number)
{
    for (gsize i = 0; i < BLOCK; i++)
        block[i] = (guint8)(i * 7 + i / 251 + number * 13);
}

/* A header, an empty piece and a short payload. */
static void
test_small_reply_is_one_record(Fixture *fixture, gconstpointer data)
{
    guint8 header[20], payload[4096], received[16384];
    struct iovec pieces[] = { { header, sizeof header }, { NULL, 0 }, { payload, sizeof payload } };

    memset(header, 1, sizeof header);
    memset(payload, 2, sizeof payload);
    g_assert_true(stream_send(&fixture->stream, pieces, G_N_ELEMENTS(pieces), NULL));
    g_assert_cmpint(receive_as_client(fixture, received, sizeof received), ==, 4116);
    g_assert_cmpmem(received, 20, header, 20);
    g_assert_cmpmem(received + 20, 4096, payload, 4096);
}

/* 20 and 100000 bytes: six full records and the rest, which begins a new piece. */
static void
test_large_reply_fills_records(Fixture *fixture, gconstpointer data)
{
    g_autofree guint8 *block = g_malloc(BLOCK);
    guint8 header[20] = { 0 }, received[16384];
    struct iovec pieces[] = { { header, sizeof header }, { block, BLOCK }, { header, 4 } };
    guint n_records = 0;
    gsize total = 0;

    fill(block, 0);
    g_assert_true(stream_send(&fixture->stream, pieces, G_N_ELEMENTS(pieces), NULL));
    while (total < BLOCK + 24) {
        gssize length = receive_as_client(fixture, received, sizeof received);

        g_assert_cmpint(length, >, 0);
        total += (gsize)length;
        n_records++;
    }
    g_assert_cmpuint(total, ==, BLOCK + 24);
    g_assert_cmpuint(n_records, ==, 7);
}

static gpointer
echo_blocks(gpointer data)
{
    Fixture *fixture = data;
    g_autofree guint8 *block = g_malloc(BLOCK);

    for (guint i = 0; i < N_BLOCKS; i++) {
        struct iovec piece = { block, BLOCK };

        fill(block, i);
        g_assert_true(stream_send(&fixture->stream, &piece, 1, NULL));
    }
    return NULL;
}

static gpointer
send_as_client(gpointer data)
{
    Fixture *fixture = data;
    g_autofree guint8 *block = g_malloc(BLOCK);

    for (guint i = 0; i < N_BLOCKS; i++) {
        fill(block, i);
        for (gsize at = 0; at < BLOCK;) {
            gssize sent = gnutls_record_send(fixture->client, block + at, BLOCK - at);

            g_assert_cmpint(sent, >, 0);
            at += (gsize)sent;
        }
    }
    return NULL;
}

static void
check_blocks_as_client(Fixture *fixture)
{
    g_autofree guint8 *expected = g_malloc(BLOCK);
    g_autofree guint8 *block = g_malloc(BLOCK);

    for (guint i = 0; i < N_BLOCKS; i++) {
        for (gsize at = 0; at < BLOCK;) {
            gssize length = receive_as_client(fixture, block + at, BLOCK - at);

            g_assert_cmpint(length, >, 0);
            at += (gsize)length;
        }
        fill(expected, i);
        g_assert_cmpmem(block, BLOCK, expected, BLOCK);
    }
}

static gpointer
check_blocks(gpointer data)
{
    Fixture *fixture = data;
    g_autofree guint8 *expected = g_malloc(BLOCK);
    g_autofree guint8 *block = g_malloc(BLOCK);

    for (guint i = 0; i < N_BLOCKS; i++) {
        g_assert_true(stream_receive(&fixture->stream, block, BLOCK));
        fill(expected, i);
        g_assert_cmpmem(block, BLOCK, expected, BLOCK);
    }
    return NULL;
}

/* Ten megabytes each way at once, through socket buffers that hold a fraction. */
static void
test_both_ways_at_once(Fixture *fixture, gconstpointer data)
{
    GThread *sender = g_thread_new("sender", echo_blocks, fixture);
    GThread *receiver = g_thread_new("receiver", check_blocks, fixture);
    GThread *client = g_thread_new("client", send_as_client, fixture);

    check_blocks_as_client(fixture);
    g_thread_join(client);
    g_thread_join(receiver);
    g_thread_join(sender);
}

static gpointer
check_few_bytes(gpointer data)
{
    Fixture *fixture = data;
    char bytes[100];

    for (guint i = 0; i < 10; i++) {
        g_assert_true(stream_receive(&fixture->stream, bytes, sizeof bytes));
        for (gsize at = 0; at < sizeof bytes; at++)
            g_assert_cmpint(bytes[at], ==, (char)i);
    }
    return NULL;
}

static gboolean
has_filled_the_socket(Fixture *fixture)
{
    gint moved = g_atomic_int_get(&fixture->stream.moved);

    g_usleep(50 * 1000);
    return moved == g_atomic_int_get(&fixture->stream.moved);
}

/* The client asks for new keys while the server's sender is stuck in the midst of a record, since
 * nobody reads; then both go on, with new keys each. */
static void
test_new_keys_in_the_midst(Fixture *fixture, gconstpointer data)
{
    GThread *sender = g_thread_new("sender", echo_blocks, fixture);
    GThread *receiver = g_thread_new("receiver", check_few_bytes, fixture);
    char bytes[100];

    while (!has_filled_the_socket(fixture))
        continue;
    g_assert_cmpint(gnutls_session_key_update(fixture->client, GNUTLS_KU_PEER), ==, 0);
    for (guint i = 0; i < 10; i++) {
        memset(bytes, (int)i, sizeof bytes);
        g_assert_cmpint(gnutls_record_send(fixture->client, bytes, sizeof bytes), ==, sizeof bytes);
    }
    check_blocks_as_client(fixture);
    g_thread_join(sender);
    g_thread_join(receiver);
}

/* The stream tells of what is in the session already, which the socket does not show. */
static void
test_pending_bytes(Fixture *fixture, gconstpointer data)
{
    char one;

    g_assert_false(stream_wait(&fixture->stream, 0));
    g_assert_cmpint(gnutls_record_send(fixture->client, "ab", 2), ==, 2);
    g_assert_true(stream_wait(&fixture->stream, 30000));
    g_assert_true(stream_receive(&fixture->stream, &one, 1));
    g_assert_cmpint(one, ==, 'a');
    g_assert_true(stream_wait(&fixture->stream, 0));
    g_assert_true(stream_receive(&fixture->stream, &one, 1));
    g_assert_cmpint(one, ==, 'b');
    g_assert_false(stream_wait(&fixture->stream, 0));
}

/* A stream that is cut within a message is over, and so is one that is ended in good form there. */
static void
test_ends(Fixture *fixture, gconstpointer data)
{
    char buffer[4];

    g_assert_cmpint(gnutls_record_send(fixture->client, "abc", 3), ==, 3);
    shutdown(fixture->fd, SHUT_WR);
    g_assert_false(stream_receive(&fixture->stream, buffer, sizeof buffer));
    g_assert_false(stream_receive(&fixture->stream, buffer, 1));
}

/* The server's good-bye comes after all that it sent. */
static void
test_goodbyes(Fixture *fixture, gconstpointer data)
{
    struct iovec piece = { (char *)"x", 1 };
    guint8 buffer[4];

    g_assert_cmpint(gnutls_bye(fixture->client, GNUTLS_SHUT_WR), ==, 0);
    g_assert_false(stream_receive(&fixture->stream, buffer, 1));
    g_assert_true(stream_send(&fixture->stream, &piece, 1, NULL));
    stream_say_goodbye(&fixture->stream);
    stream_close(&fixture->stream);
    g_assert_cmpint(receive_as_client(fixture, buffer, sizeof buffer), ==, 1);
    g_assert_cmpint(receive_as_client(fixture, buffer, sizeof buffer), ==, 0);
}

/* Whoever waits for the socket is woken when it is shut down. */
static gpointer
shut(gpointer data)
{
    Stream *stream = data;

    stream_shut(stream);
    return NULL;
}

static void
test_shut_ends_a_stuck_sender(Fixture *fixture, gconstpointer data)
{
    g_autofree guint8 *block = g_malloc0(BLOCK);
    GThread *thread = NULL;
    gboolean sent = TRUE;

    for (guint i = 0; sent && i < N_BLOCKS; i++) {
        struct iovec piece = { block, BLOCK };

        if (i == 1)
            thread = g_thread_new("shut", shut, &fixture->stream);
        sent = stream_send(&fixture->stream, &piece, 1, NULL);
    }
    g_assert_false(sent);
    g_assert_false(stream_receive(&fixture->stream, block, 1));
    g_thread_join(thread);
}

/* What a connection does: the end of what it receives is its own end. */
static gpointer
receive_and_shut(gpointer data)
{
    Stream *stream = data;
    char byte;
    gboolean received = stream_receive(stream, &byte, 1);

    stream_shut(stream);
    return GINT_TO_POINTER(received);
}

/* TLS 1.2: who shakes hands anew is sent away. */
static void
test_no_renegotiation(Fixture *fixture, gconstpointer data)
{
    GThread *server = g_thread_new("server", receive_and_shut, &fixture->stream);

    g_assert_cmpint(gnutls_handshake(fixture->client), <, 0);
    g_assert_false(GPOINTER_TO_INT(g_thread_join(server)));
}

static void
test_refused(Fixture *fixture, gconstpointer data)
{
    static const char *const priorities[] = {
        ANY_VERSION ":-VERS-ALL:+VERS-TLS1.1:+AES-128-CBC:+SHA1",
        "NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.2",
        OLD_VERSION ":-CIPHER-ALL:+NULL:-MAC-ALL:+SHA256",
    };

    g_assert_cmpint(connect_client(fixture, priorities[GPOINTER_TO_INT(data) - 1]), <, 0);
    g_assert_false(fixture->agreed);
}

#define ADD(path, priority, func) g_test_add(path, Fixture, priority, set_up, func, tear_down)

/* @which: counted from 1 */
static void
set_up_refused(Fixture *fixture, gconstpointer which)
{
    set_up(fixture, NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/tls/small-reply-is-one-record", ANY_VERSION, test_small_reply_is_one_record);
    ADD("/tls/large-reply-fills-records", ANY_VERSION, test_large_reply_fills_records);
    ADD("/tls/both-ways-at-once", ANY_VERSION, test_both_ways_at_once);
    ADD("/tls/both-ways-at-once-1.2", OLD_VERSION, test_both_ways_at_once);
    ADD("/tls/new-keys-in-the-midst", ANY_VERSION, test_new_keys_in_the_midst);
    ADD("/tls/pending-bytes", ANY_VERSION, test_pending_bytes);
    ADD("/tls/ends", ANY_VERSION, test_ends);
    ADD("/tls/goodbyes", ANY_VERSION, test_goodbyes);
    ADD("/tls/goodbyes-1.2", OLD_VERSION, test_goodbyes);
    ADD("/tls/shut-ends-a-stuck-sender", ANY_VERSION, test_shut_ends_a_stuck_sender);
    ADD("/tls/no-renegotiation", OLD_VERSION, test_no_renegotiation);
    for (int i = 1; i <= 3; i++) {
        g_autofree char *path = g_strdup_printf("/tls/refused/%d", i);

        g_test_add(path, Fixture, GINT_TO_POINTER(i), set_up_refused, test_refused, tear_down);
    }
    return g_test_run();
}
