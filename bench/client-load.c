/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-load.c - what the loads have in common: their command lines, and how they run. */
#include "client-load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client-fail.h"

char **
load_parse(int argc, char **argv, const GOptionEntry *entries, const char *usage,
           const char *summary, guint n_words, gboolean takes_more)
{
    g_autofree char *program = g_strdup_printf("load %s", argv[0]);
    g_auto(GStrv) words = g_new0(char *, (gsize)argc + 1);
    g_autoptr(GOptionContext) context = g_option_context_new(usage);
    g_autoptr(GError) error = NULL;

    g_set_prgname(program);
    for (int i = 0; i < argc; i++)
        words[i] = g_strdup(argv[i]);
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, summary);
    g_option_context_set_strict_posix(context, takes_more);
    if (!g_option_context_parse_strv(context, &words, &error))
        fail("%s: %s", argv[0], error->message);
    if (g_strv_length(words) < n_words + 1 || (!takes_more && g_strv_length(words) > n_words + 1))
        fail("%s: expected: %s; see 'load %s --help'", argv[0], usage, argv[0]);
    return g_strdupv(words + 1);
}

void
load_wait(gboolean waits)
{
    char line[16];

    if (!waits)
        return;
    puts("connected");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(EXIT_SUCCESS);
}

void
load_run_all(GThreadFunc run, gpointer items, gsize size, guint n)
{
    g_autofree GThread **threads = g_new(GThread *, n);
    guint8 *item = items;

    for (guint i = 1; i < n; i++)
        threads[i] = g_thread_new("load", run, item + i * size);
    run(item);
    for (guint i = 1; i < n; i++)
        g_thread_join(threads[i]);
}
