/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-churn.c - load "churn": opens connections and drops them without a word. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client-address.h"
#include "client-clock.h"
#include "client-fail.h"
#include "client-load.h"

void
load_churn(int argc, char **argv)
{
    double seconds = 0;
    const GOptionEntry entries[] = {
        { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &seconds, "(default: until it is ended)", "N" },
        { NULL },
    };
    g_auto(GStrv) words =
        load_parse(argc, argv, entries, "URI", "Opens connections and drops them.", 1, FALSE);
    Address address;
    Clock clock;
    guint64 count = 0;

    address_init(&address, words[0]);
    clock_start(&clock, seconds);
    for (; !clock_is_over(&clock, clock_now()); count++) {
        int fd = address_try(&address);

        if (fd >= 0)
            close(fd);
        else if (errno != EAGAIN && errno != EINTR)
            fail("cannot connect: %s", g_strerror(errno));
    }
    printf(
        "{\"load\": \"churn\", \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"connections\": %" PRIu64
        "}\n",
        clock_seconds(&clock), clock_cpu_seconds(&clock), count);
    address_clear(&address);
}
