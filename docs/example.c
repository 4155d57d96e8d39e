/* SPDX-License-Identifier: LGPL-2.1-or-later
 * example.c - prints which layer supplies each range of an image, and how the range begins. */
#include <strata/strata.h>

static gboolean
print_run(const StrataRun *run, GError **error)
{
    const char *layer = run->claimant ? strata_node_get_name(run->claimant) : "nobody";
    gsize n = MIN(run->length, 4);
    guint8 bytes[4];

    g_print("%10" G_GUINT64_FORMAT " %10" G_GUINT64_FORMAT "  %-16s", run->offset, run->length,
            layer);
    if (run->flags & STRATA_RUN_ZERO) {
        g_print(" zeros\n");
        return TRUE;
    }
    if (!strata_run_read(run, 0, n, bytes, error))
        return FALSE;
    for (gsize i = 0; i < n; i++)
        g_print(" %02x", bytes[i]);
    g_print("\n");
    return TRUE;
}

static gboolean
print_map(const char *filename, GError **error)
{
    g_autoptr(StrataSpec) spec = NULL;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;

    spec = strata_spec_parse(filename, STRATA_SPEC_FILENAME, NULL, error);
    if (!spec)
        return FALSE;
    graph = strata_graph_open(spec, NULL, error);
    if (!graph)
        return FALSE;
    walk = strata_walk_new(strata_graph_get_top(graph));

    guint64 size = strata_node_get_size(strata_graph_get_top(graph));
    guint64 offset = 0;
    while (offset < size) {
        gsize n_runs;
        const StrataRun *runs = strata_walk_resolve(walk, offset, size - offset, &n_runs, error);
        if (!runs)
            return FALSE;
        for (gsize i = 0; i < n_runs; i++)
            if (!print_run(&runs[i], error))
                return FALSE;
        offset = runs[n_runs - 1].offset + runs[n_runs - 1].length;
    }
    return TRUE;
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    if (argc != 2) {
        g_printerr("Usage: %s IMAGE\n", argv[0]);
        return 2;
    }
    if (!print_map(argv[1], &error)) {
        g_printerr("%s: %s\n", argv[0], error->message);
        return 1;
    }
    return 0;
}
