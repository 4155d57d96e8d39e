/* SPDX-License-Identifier: LGPL-2.1-or-later
 * strata.c - the strata tool: a table of verbs, help, and the exit status. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/resource.h>

#include "commands.h"

/* Exit statuses beside 0. */
#define STATUS_FAILED 1 /* or the answer holds ranges that cannot be told */
#define STATUS_USAGE  2

typedef struct {
    const char *name;
    gboolean (*run)(char **words, GError **error);
    const char *operands;
    const char *summary;
} Verb;

static const Verb verbs[] = {
    { "info", cmd_info, "SPEC|URI", "the graph behind an image: nodes, roles, layers" },
    { "map", cmd_map, "SPEC|URI", "which layer supplies each range" },
    { "why", cmd_why, "SPEC OFFSET", "the walk for one offset, step by step" },
};

static void
print_help(void)
{
    puts("Usage: strata VERB [OPTION...] SPEC|URI\n\n"
         "Tells which layer of a disk image supplies each range of it.\n\nVerbs:");
    for (guint i = 0; i < G_N_ELEMENTS(verbs); i++)
        printf("  %-5s %-12s  %s\n", verbs[i].name, verbs[i].operands, verbs[i].summary);
    puts("\nOptions:\n"
         "  -h, --help     this help; 'strata VERB --help' for the options of a verb\n"
         "  -V, --version  the version\n\n"
         "Examples:\n"
         "    strata map disk.qcow2\n"
         "    strata map --picture nbd+unix:///?socket=/tmp/nbd.sock\n"
         "    strata why --image-opts driver=raw,offset=64k,file.driver=qcow2,"
         "file.file.filename=disk.qcow2 1M");
}

static const Verb *
find_verb(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (g_str_equal(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

/* Says what went wrong; returns the exit status for it. */
static int
report(const char *verb, const GError *error)
{
    fprintf(stderr, "strata: %s\n", error->message);
    if (error->domain != G_OPTION_ERROR)
        return STATUS_FAILED;
    fprintf(stderr, "Try 'strata%s%s --help'.\n", *verb == '\0' ? "" : " ", verb);
    return STATUS_USAGE;
}

/* What was printed may still fail to be written, by a full disk for example. A reader that has
 * gone (EPIPE) has had enough, and wants no message about it. */
static int
finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno != EPIPE)
        fprintf(stderr, "strata: cannot write the output: %s\n", g_strerror(errno));
    return STATUS_FAILED;
}

static int
run_verb(const Verb *verb, char **words)
{
    g_autofree char *program = g_strconcat("strata ", verb->name, NULL);
    g_autoptr(GError) error = NULL;
    int status = EXIT_SUCCESS;

    g_set_prgname(program); /* for the usage line of the help text */
    if (!verb->run(words, &error)) {
        fflush(stdout);
        status = report(verb->name, error);
    }
    return finish_output(status);
}

static int
refuse(const char *what, const char *word)
{
    g_autofree char *shown = strata_escape(word);
    g_autoptr(GError) error = g_error_new(G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "%s%s%s%s", what,
                                          *word ? " '" : "", shown, *word ? "'" : "");

    return report("", error);
}

/* A chain may have more files than a process may open by default. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int
main(int argc, char **argv)
{
    const Verb *verb;

    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_DFL); /* "strata map | head" ends in silence, whoever started us */
    if (argc < 2)
        return refuse("a verb is missing: info, map or why", "");
    if (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h")) {
        print_help();
        return finish_output(EXIT_SUCCESS);
    }
    if (g_str_equal(argv[1], "--version") || g_str_equal(argv[1], "-V")) {
        puts("strata " STRATA_VERSION);
        return finish_output(EXIT_SUCCESS);
    }
    verb = find_verb(argv[1]);
    if (verb == NULL)
        return refuse("the verb is not info, map or why:", argv[1]);
    raise_descriptor_limit();
    return run_verb(verb, argv + 1);
}
