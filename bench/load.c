/* SPDX-License-Identifier: LGPL-2.1-or-later
 * load.c - one client that loads an NBD server, and prints what it got in a second.
 *
 *   load read URI SECONDS [BYTES [IN-FLIGHT]]   sequential reads, round and round: MiB per second
 *   load status URI SECONDS                     block status, round and round: extents per second
 *   load churn PATH SECONDS                     opens and drops a Unix socket: connections per
 * second load negotiate URI SECONDS                  connects, reads 512 bytes, leaves: the same
 *
 * The first two say "connected" and wait for a line before they begin. With SECONDS 0 it goes on
 * until it is ended, and prints nothing more. */
#include <errno.h>
#include <glib.h>
#include <libnbd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_BYTES     (256 * 1024)
#define DEFAULT_IN_FLIGHT 4
#define MAX_IN_FLIGHT     64
#define MAX_BYTES         (32 * 1024 * 1024)
#define STATUS_BYTES      (1024u * 1024 * 1024)
#define CONTEXT           LIBNBD_CONTEXT_BASE_ALLOCATION

typedef struct {
    const char *target;
    double seconds; /* 0: for ever */
    double began;
    uint64_t bytes;
    unsigned in_flight;
} Load;

static double
now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool
is_over(const Load *load)
{
    return load->seconds > 0 && now() >= load->began + load->seconds;
}

static void
tell(const Load *load, double amount)
{
    printf("%.1f\n", amount / (now() - load->began));
}

static void
die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(EXIT_FAILURE);
}

static struct nbd_handle *
open_handle(const Load *load, const char *context)
{
    struct nbd_handle *handle = nbd_create();

    if (handle == NULL || (context != NULL && nbd_add_meta_context(handle, context) < 0) ||
        nbd_connect_uri(handle, load->target) < 0)
        die(nbd_get_error());
    return handle;
}

static void
wait_for_start(Load *load)
{
    char line[16];

    puts("connected");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(EXIT_SUCCESS);
    load->began = now();
}

/* Keeps as many reads in flight as it may; what is read goes to the same buffers again. */
static void
run_read(Load *load)
{
    struct nbd_handle *handle = open_handle(load, NULL);
    uint64_t size = (uint64_t)nbd_get_size(handle) / load->bytes * load->bytes;
    uint64_t offset = 0, n_done = 0;
    int64_t cookies[MAX_IN_FLIGHT] = { 0 };
    char *buffers = calloc(load->in_flight, load->bytes);

    if (buffers == NULL || size == 0)
        die("the export is too small, or there is no memory");
    wait_for_start(load);
    while (!is_over(load)) {
        for (unsigned i = 0; i < load->in_flight; i++) {
            int done = cookies[i] > 0 ? nbd_aio_command_completed(handle, cookies[i]) : 1;

            if (done < 0)
                die(nbd_get_error());
            if (done == 0)
                continue;
            n_done += cookies[i] > 0;
            cookies[i] = nbd_aio_pread(handle, buffers + i * load->bytes, load->bytes, offset,
                                       NBD_NULL_COMPLETION, 0);
            offset = (offset + load->bytes) % size;
        }
        if (nbd_poll(handle, 1000) < 0)
            die(nbd_get_error());
    }
    tell(load, (double)n_done * (double)load->bytes / (1024 * 1024));
    nbd_shutdown(handle, 0);
    nbd_close(handle);
    free(buffers);
}

typedef struct {
    uint64_t n_extents, told;
} Status;

static int
count_extents(void *data, const char *context, uint64_t offset, uint32_t *entries, size_t n_entries,
              int *error)
{
    Status *status = data;

    (void)context;
    (void)offset;
    (void)error;
    status->n_extents += n_entries / 2;
    for (size_t i = 0; i < n_entries; i += 2)
        status->told += entries[i];
    return 0;
}

static void
run_status(Load *load)
{
    struct nbd_handle *handle = open_handle(load, CONTEXT);
    uint64_t size = (uint64_t)nbd_get_size(handle), offset = 0, n_extents = 0;

    wait_for_start(load);
    while (!is_over(load)) {
        uint64_t left = size - offset;
        Status status = { 0 };
        nbd_extent_callback extents = { .callback = count_extents, .user_data = &status };

        if (nbd_block_status(handle, left < STATUS_BYTES ? left : STATUS_BYTES, offset, extents,
                             0) < 0)
            die(nbd_get_error());
        n_extents += status.n_extents;
        offset = status.told >= left ? 0 : offset + status.told;
    }
    tell(load, (double)n_extents);
    nbd_shutdown(handle, 0);
    nbd_close(handle);
}

static void
run_churn(Load *load)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    uint64_t count = 0;

    if (g_strlcpy(address.sun_path, load->target, sizeof address.sun_path) >=
        sizeof address.sun_path)
        die("the path is too long");
    for (; !is_over(load); count++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        if (fd < 0 || (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 &&
                       errno != EAGAIN && errno != EINTR))
            die(strerror(errno));
        close(fd);
    }
    tell(load, (double)count);
}

static void
run_negotiate(Load *load)
{
    uint64_t count = 0;
    char buffer[512];

    for (; !is_over(load); count++) {
        struct nbd_handle *handle = open_handle(load, NULL);

        if (nbd_pread(handle, buffer, sizeof buffer, 0, 0) < 0 || nbd_shutdown(handle, 0) < 0)
            die(nbd_get_error());
        nbd_close(handle);
    }
    tell(load, (double)count);
}

static const struct {
    const char *name;
    void (*run)(Load *load);
} loads[] = {
    { "read", run_read },
    { "status", run_status },
    { "churn", run_churn },
    { "negotiate", run_negotiate },
};

/* The number in place @i of the command line, or @otherwise where there is none. */
static uint64_t
number(char **argv, int argc, int i, uint64_t otherwise, uint64_t most)
{
    guint64 value = otherwise;

    if (i < argc && !g_ascii_string_to_unsigned(argv[i], 10, 1, most, &value, NULL))
        die("a number was expected");
    return value;
}

int
main(int argc, char **argv)
{
    Load load = { .seconds = 0 };

    if (argc < 4)
        die("read|status|churn|negotiate URI SECONDS [BYTES [IN-FLIGHT]]");
    load.target = argv[2];
    load.seconds = g_ascii_strtod(argv[3], NULL);
    load.bytes = number(argv, argc, 4, DEFAULT_BYTES, MAX_BYTES);
    load.in_flight = (unsigned)number(argv, argc, 5, DEFAULT_IN_FLIGHT, MAX_IN_FLIGHT);
    load.began = now();
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
        if (strcmp(loads[i].name, argv[1]) == 0) {
            loads[i].run(&load);
            return EXIT_SUCCESS;
        }
    die("there is no such load");
}
