/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-server-engine.c - an engine whose storage does not answer goes on serving its other clients,
 * and stops in time all the same. */
#include "engine.h"
#include "listen/address.h"
#include "mem-node.h"
#include "protocol/contexts.h"
#include "protocol/proto.h"
#include "wait.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE  65536
#define STUCK 4096 /* reading this byte waits until the test lets it go on */

/* What is documented of a stop: five seconds, and two. And what a busy machine may add. */
#define STOP_USEC  (7 * G_USEC_PER_SEC)
#define SLACK_USEC (8 * G_USEC_PER_SEC)

typedef struct {
    StrataDriver driver; /* of the leaf */
    char *folder, *path;
    StrataEngine *engine;

    GMutex lock; /* guards what follows */
    GCond changed;
    guint n_waiting; /* reads that wait */
    gboolean let_go;
} Fixture;

static Fixture *current;
static gboolean (*read_from_memory)(StrataNode *, guint64, gsize, guint8 *, GError **);

static gboolean
read_or_wait(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    gboolean is_stuck = offset <= STUCK && STUCK - offset < length;

    if (is_stuck)
        wait_announce();
    g_mutex_lock(&current->lock);
    if (is_stuck) {
        current->n_waiting++;
        g_cond_broadcast(&current->changed);
        while (!current->let_go)
            g_cond_wait(&current->changed, &current->lock);
        current->n_waiting--;
    }
    g_mutex_unlock(&current->lock);
    return read_from_memory(node, offset, length, buffer, error);
}

/* @n_free: how many descriptors there are for it; it goes on without those it can do without. */
static StrataEngine *
make_engine(StrataExports *exports, guint n_free)
{
    struct rlimit limit, few;
    StrataEngine *engine;
    int next = dup(STDIN_FILENO);

    g_assert_cmpint(next, >=, 0);
    close(next);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    few = limit;
    few.rlim_cur = (rlim_t)next + n_free;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    engine = strata_engine_new(exports, NULL);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    return engine;
}

/* @data: (nullable): one descriptor is all that there is for the engine */
static void
set_up(Fixture *fixture, gconstpointer data)
{
    g_autofree guint8 *bytes = g_malloc0(SIZE);
    StrataNode *leaf = mem_leaf_new("leaf", bytes, SIZE);
    g_autoptr(StrataExports) exports = strata_exports_new();
    g_autoptr(StrataAddress) address = NULL;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;

    current = fixture;
    fixture->driver = *leaf->driver;
    read_from_memory = fixture->driver.read;
    fixture->driver.read = read_or_wait;
    leaf->driver = &fixture->driver;
    graph = mem_graph_new(leaf);
    fixture->folder = g_dir_make_tmp("st.XXXXXX", &error);
    g_assert_no_error(error);
    fixture->path = g_build_filename(fixture->folder, "s", NULL);
    strata_exports_add(exports, "", NULL, graph, &error);
    g_assert_no_error(error);
    fixture->engine = data != NULL ? make_engine(g_steal_pointer(&exports), 1)
                                   : strata_engine_new(g_steal_pointer(&exports), NULL);
    address = address_new_unix(fixture->path);
    strata_engine_listen(fixture->engine, address, NULL, &error);
    g_assert_no_error(error);
    strata_engine_start(fixture->engine, &error);
    g_assert_no_error(error);
}

static void
let_go(Fixture *fixture)
{
    g_mutex_lock(&fixture->lock);
    fixture->let_go = TRUE;
    g_cond_broadcast(&fixture->changed);
    g_mutex_unlock(&fixture->lock);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    let_go(fixture);
    strata_engine_free(fixture->engine);
    g_rmdir(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->path);
    g_mutex_clear(&fixture->lock);
    g_cond_clear(&fixture->changed);
}

static void
send_all(int fd, gconstpointer data, gsize size)
{
    g_assert_cmpint(send(fd, data, size, MSG_NOSIGNAL), ==, (gssize)size);
}

static void
receive_all(int fd, gpointer buffer, gsize size)
{
    g_assert_cmpint(recv(fd, buffer, size, MSG_WAITALL), ==, (gssize)size);
}

/* A client in the transmission phase, with simple replies. */
static int
enter(Fixture *fixture)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    NbdOptionHeader option = {
        .magic = GUINT64_TO_BE(NBD_OPTION_MAGIC),
        .option = GUINT32_TO_BE(NBD_OPT_EXPORT_NAME),
    };
    guint32 flags = GUINT32_TO_BE(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    NbdGreeting greeting;
    guint8 answer[10];

    g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    receive_all(fd, &greeting, sizeof greeting);
    send_all(fd, &flags, sizeof flags);
    send_all(fd, &option, sizeof option);
    receive_all(fd, answer, sizeof answer);
    return fd;
}

static void
ask(int fd, guint64 offset, guint32 length)
{
    NbdRequestHeader request = {
        .magic = GUINT32_TO_BE(NBD_REQUEST_MAGIC),
        .type = GUINT16_TO_BE(NBD_CMD_READ),
        .offset = GUINT64_TO_BE(offset),
        .length = GUINT32_TO_BE(length),
    };

    send_all(fd, &request, sizeof request);
}

static void
assert_answered(int fd, guint32 length)
{
    g_autofree guint8 *data = g_malloc(length);
    NbdSimpleReplyHeader reply;

    receive_all(fd, &reply, sizeof reply);
    g_assert_cmphex(GUINT32_FROM_BE(reply.magic), ==, NBD_SIMPLE_MAGIC);
    g_assert_cmpuint(reply.error, ==, 0);
    receive_all(fd, data, length);
}

static void
wait_for_stuck(Fixture *fixture, guint n)
{
    g_mutex_lock(&fixture->lock);
    while (fixture->n_waiting < n)
        g_cond_wait(&fixture->changed, &fixture->lock);
    g_mutex_unlock(&fixture->lock);
}

/* One client waits for storage, another has hung up in the same state: the third is served, and so
 * is the first itself where the storage answers. */
static void
test_others_are_served(Fixture *fixture, gconstpointer data)
{
    int gone = enter(fixture), stuck = enter(fixture), other = -1;

    ask(gone, STUCK, 512);
    ask(stuck, STUCK, 512);
    wait_for_stuck(fixture, 2);
    close(gone);
    ask(stuck, 0, 512);
    assert_answered(stuck, 512);
    other = enter(fixture);
    ask(other, 0, 512);
    assert_answered(other, 512);
    let_go(fixture);
    assert_answered(stuck, 512);
    close(other);
    close(stuck);
}

static void
test_stop_is_bounded(Fixture *fixture, gconstpointer data)
{
    int gone = enter(fixture), stuck = enter(fixture);
    gint64 began, took;

    ask(gone, STUCK, 512);
    ask(stuck, STUCK, 512);
    wait_for_stuck(fixture, 2);
    close(gone);
    began = g_get_monotonic_time();
    g_assert_false(strata_engine_stop(fixture->engine));
    took = g_get_monotonic_time() - began;
    g_assert_cmpint(took, >=, STOP_USEC);
    g_assert_cmpint(took, <, STOP_USEC + SLACK_USEC);
    g_assert_false(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
    let_go(fixture);
    g_assert_true(strata_engine_stop(fixture->engine));
    close(stuck);
}

/* With no descriptor for those who rest, they keep their threads. */
static void
test_without_lounge(Fixture *fixture, gconstpointer data)
{
    int fd = enter(fixture);

    for (guint i = 0; i < 3; i++) {
        ask(fd, 0, 512);
        assert_answered(fd, 512);
        g_usleep(700 * G_TIME_SPAN_MILLISECOND); /* longer than a thread stays */
    }
    g_assert_true(strata_engine_stop(fixture->engine));
    close(fd);
}

/* A socket that is handed over is closed when the engine cannot start: here for want of an eventfd.
 */
static void
test_serve_takes_over(void)
{
    g_autoptr(StrataEngine) engine = NULL;
    g_autoptr(GError) error = NULL;
    struct rlimit limit, few;
    int ends[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    few = limit;
    few.rlim_cur = 3;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    engine = strata_engine_new(strata_exports_new(), NULL);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    g_assert_false(strata_engine_serve(engine, ends[0], &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    g_assert_cmpint(fcntl(ends[0], F_GETFD), ==, -1);
    close(ends[1]);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/engine/others-are-served", Fixture, NULL, set_up, test_others_are_served,
               tear_down);
    g_test_add("/engine/stop-is-bounded", Fixture, NULL, set_up, test_stop_is_bounded, tear_down);
    g_test_add("/engine/without-lounge", Fixture, "", set_up, test_without_lounge, tear_down);
    g_test_add_func("/engine/serve-takes-over", test_serve_takes_over);
    return g_test_run();
}
