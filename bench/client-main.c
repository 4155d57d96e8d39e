/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-main.c - a client that loads an NBD server and tells what it got: a line of JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client-fail.h"
#include "client-load.h"

static const struct {
    const char *name;
    void (*run)(int argc, char **argv);
    const char *help;
} loads[] = {
    { "map", load_map, "block status of the whole export" },
    { "read", load_read, "reads, sequential or random" },
    { "connect", load_connect, "whole handshakes, and NBD_CMD_DISC" },
    { "churn", load_churn, "opens connections and drops them" },
    { "ready", load_ready, "how long a server takes until it serves" },
};

static void
print_help(void)
{
    puts("Usage: load NAME [OPTION...]\n"
         "Loads an NBD server, and prints a line of JSON. Answers that the protocol does not allow "
         "are fatal.\n");
    for (gsize i = 0; i < G_N_ELEMENTS(loads); i++)
        printf("  %-8s %s\n", loads[i].name, loads[i].help);
    puts("\n'load NAME --help' tells the options.");
}

int
main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
        return EXIT_SUCCESS;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(loads); i++)
        if (strcmp(loads[i].name, name) == 0) {
            loads[i].run(argc - 1, argv + 1);
            return EXIT_SUCCESS;
        }
    fail("there is no load '%s'; see 'load --help'", name);
}
