/* SPDX-License-Identifier: LGPL-2.1-or-later
 * make-image.c - makes big chains of qcow2 images in seconds, by writing their tables itself.
 *
 *   make-image [OPTION...] NAME   writes NAME.qcow2 over NAME-1.qcow2 over NAME-2.qcow2...
 *
 * They are whole: `qemu-img check` finds nothing, QEMU reads what was written. The same options
 * make the same bytes. See --help. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image-writer.h"

#define MAX_LAYERS 999

typedef struct {
    char *size, *cluster, *compress;
    int layers;
    gint64 seed, stretch;
    double allocated, zeros, hidden, ratio;
    gboolean extended, shared, flat;
} Options;

static void
die(const char *what)
{
    fprintf(stderr, "make-image: %s; see --help\n", what);
    exit(EXIT_FAILURE);
}

/* A number of bytes, as in 64k, 2M, 256G, 16T. */
static guint64
parse_size(const char *text, guint64 least, guint64 most)
{
    static const char suffixes[] = "kMGT";
    char *end;
    guint64 value = g_ascii_strtoull(text, &end, 10);
    const char *suffix = *end != '\0' ? strchr(suffixes, *end) : NULL;
    guint shift = suffix != NULL ? 10 * (guint)(suffix - suffixes + 1) : 0;

    if (end == text || (*end != '\0' && (suffix == NULL || end[1] != '\0')) ||
        value > most >> shift || value << shift < least)
        die("a size is no number of bytes (as in 64k, 2M, 256G, 16T), or out of range");
    return value << shift;
}

static guint
parse_cluster_bits(const char *text)
{
    guint64 size = parse_size(text, 512, 2u << 20);

    if ((size & (size - 1)) != 0)
        die("the size of a cluster is a power of two");
    return (guint)g_bit_storage(size) - 1;
}

static Compression
parse_compression(const char *text)
{
    if (text == NULL)
        return COMPRESS_NOT;
    if (strcmp(text, "zlib") == 0)
        return COMPRESS_ZLIB;
    if (strcmp(text, "zstd") == 0)
        return COMPRESS_ZSTD;
    die("--compress is zlib or zstd");
    return COMPRESS_NOT;
}

static double
share_of(double percent)
{
    if (!(percent >= 0 && percent <= 100))
        die("a share is from 0 to 100 percent");
    return percent / 100;
}

static void
parse_options(int *argc, char ***argv, Options *options)
{
    const GOptionEntry entries[] = {
        { "size", 0, 0, G_OPTION_ARG_STRING, &options->size, "Of the virtual disk (1G)", "SIZE" },
        { "cluster", 0, 0, G_OPTION_ARG_STRING, &options->cluster, "Of a cluster (64k)", "SIZE" },
        { "layers", 0, 0, G_OPTION_ARG_INT, &options->layers, "How many (1)", "N" },
        { "extended", 0, 0, G_OPTION_ARG_NONE, &options->extended,
          "Extended L2 entries: layers own subclusters, not clusters", NULL },
        { "stretch", 0, 0, G_OPTION_ARG_INT64, &options->stretch,
          "Clusters (or subclusters) in a row that fare alike (1)", "N" },
        { "allocated", 0, 0, G_OPTION_ARG_DOUBLE, &options->allocated,
          "What some layer owns; which one is random (100)", "PERCENT" },
        { "hidden", 0, 0, G_OPTION_ARG_DOUBLE, &options->hidden,
          "Chance that a layer below the owner holds data there (0)", "PERCENT" },
        { "zeros", 0, 0, G_OPTION_ARG_DOUBLE, &options->zeros,
          "Of what a layer holds, what it holds as zeros (0)", "PERCENT" },
        { "shared", 0, 0, G_OPTION_ARG_NONE, &options->shared,
          "Little data, to which all of a layer's tables point", NULL },
        { "compress", 0, 0, G_OPTION_ARG_STRING, &options->compress,
          "Data is text, compressed by zlib or zstd", "METHOD" },
        { "ratio", 0, 0, G_OPTION_ARG_DOUBLE, &options->ratio,
          "To what part text is compressed, at the best (3)", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT64, &options->seed, "Of all that is random (1)", "N" },
        { "raw", 0, 0, G_OPTION_ARG_NONE, &options->flat, "Write NAME.raw, too: the same, flat",
          NULL },
        { 0 },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("NAME");
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, "Writes NAME.qcow2 over NAME-1.qcow2 over NAME-2.qcow2, "
                                          "and so on.");
    if (!g_option_context_parse(context, argc, argv, &error))
        die(error->message);
}

static Plan
make_plan(const Options *options)
{
    Plan plan = {
        .seed = plan_hash((guint64)options->seed, 0),
        .cluster_bits = parse_cluster_bits(options->cluster != NULL ? options->cluster : "64k"),
        .extended = options->extended,
        .allocated = share_of(options->allocated),
        .zeros = share_of(options->zeros),
        .hidden = share_of(options->hidden),
    };

    if (options->layers < 1 || options->layers > MAX_LAYERS || options->stretch < 1)
        die("there are 1 to 999 layers, and at least one cluster in a stretch");
    if (!(options->ratio >= 1 && options->ratio <= 1000))
        die("--ratio is from 1 to 1000");
    plan.n_layers = (guint)options->layers;
    plan.stretch = (guint64)options->stretch;
    /* As far as an L1 table of 32 MiB, which is what QEMU reads, can reach. */
    plan.size = parse_size(options->size != NULL ? options->size : "1G", 512,
                           G_GUINT64_CONSTANT(1) << MIN(2 * plan.cluster_bits + 18, 55)) &
                ~G_GUINT64_CONSTANT(511);
    if (plan.extended && plan.cluster_bits < 14)
        die("extended L2 entries want clusters of 16k or more");
    if (plan.extended && options->compress != NULL)
        die("compressed clusters have no subclusters");
    return plan;
}

static char *
layer_path(const char *name, guint layer)
{
    if (layer == 0)
        return g_strconcat(name, ".qcow2", NULL);
    return g_strdup_printf("%s-%u.qcow2", name, layer);
}

static void
write_chain(const Shape *shape, const char *name)
{
    for (guint layer = 0; layer < shape->plan->n_layers; layer++) {
        g_autofree char *path = layer_path(name, layer);
        g_autofree char *below = layer_path(name, layer + 1);
        g_autofree char *backing = g_path_get_basename(below);

        writer_write_layer(shape, layer, path, layer + 1 < shape->plan->n_layers ? backing : NULL,
                           "qcow2");
    }
}

int
main(int argc, char **argv)
{
    Options options = { .layers = 1, .seed = 1, .stretch = 1, .allocated = 100, .ratio = 3 };
    g_autoptr(Content) content = NULL;
    Shape shape = { 0 };
    Plan plan;

    parse_options(&argc, &argv, &options);
    if (argc != 2)
        die("one name is expected");
    plan = make_plan(&options);
    shape.plan = &plan;
    shape.compression = parse_compression(options.compress);
    if (options.shared && shape.compression != COMPRESS_NOT)
        die("data that is compressed is not shared");
    shape.shared = options.shared;
    content = content_new(&plan, shape.compression, options.ratio);
    shape.content = content;
    write_chain(&shape, argv[1]);
    if (options.flat) {
        g_autofree char *path = g_strconcat(argv[1], ".raw", NULL);

        writer_write_flat(&shape, path);
    }
    g_free(options.size);
    g_free(options.cluster);
    g_free(options.compress);
    return EXIT_SUCCESS;
}
