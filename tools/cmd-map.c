/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cmd-map.c - "strata map": who supplies what. Streams: it holds one extent, whatever the size of
 * the map. */
#include "commands.h"

#include "options.h"
#include "print.h"
#include "remote.h"
#include "size.h"

static const Usage usage = {
    .operands = "SPEC|URI",
    .summary = "Prints, for each range of an image, whether it is data or zero, how deep in the\n"
               "chain it is supplied, and by which layer ('-': by nobody; it reads as zeros).",
    .description =
        "SPEC is a file name, json:{...}, or with --image-opts driver=...,file.driver=...\n"
        "An NBD URI (nbd://..., nbd+unix://...) shows as much as the server tells.\n"
        "SIZE is a number of bytes, or has a suffix k, M, G, T, P or E.\n\n"
        "A range that cannot be told, or whose bytes lie past the end of their file, is shown\n"
        "as 'error', with the reason; the map goes on behind it, and the exit status is 1.",
};

typedef struct {
    char *offset_text; /* as typed; NULL if not */
    char *length_text;
    guint64 offset; /* bytes */
    guint64 length; /* bytes; no limit if not given */
    gboolean picture;
    gboolean leaf;
    char *bitmap; /* NULL: a map of the layers */
} MapWords;

static void
map_words_clear(MapWords *words)
{
    g_clear_pointer(&words->offset_text, g_free);
    g_clear_pointer(&words->length_text, g_free);
    g_clear_pointer(&words->bitmap, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MapWords, map_words_clear)

static gboolean
cmd_map_parse(Options *options, MapWords *map, char **words, GError **error)
{
    const GOptionEntry own[] = {
        { "offset", 0, 0, G_OPTION_ARG_STRING, &map->offset_text, "begin here (default: 0)",
          "SIZE" },
        { "length", 0, 0, G_OPTION_ARG_STRING, &map->length_text,
          "only so much (default: to the end of the image)", "SIZE" },
        { "leaf", 0, 0, G_OPTION_ARG_NONE, &map->leaf,
          "show in which file and at which offset the bytes lie", NULL },
        { "picture", 0, 0, G_OPTION_ARG_NONE, &map->picture, "draw a bar for each layer", NULL },
        { "bitmap", 0, 0, G_OPTION_ARG_FILENAME, &map->bitmap,
          "show what this dirty bitmap says, and not the layers", "NAME" },
        { 0 },
    };

    if (!options_parse(options, words, &usage, own, error))
        return FALSE;
    if (map->picture && (options->json || map->leaf)) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                            "--picture does not go together with --json or --leaf");
        return FALSE;
    }
    if (map->bitmap != NULL && (map->picture || map->leaf)) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                            "--bitmap does not go together with --picture or --leaf");
        return FALSE;
    }
    map->length = G_MAXUINT64;
    return (map->offset_text == NULL || size_parse(map->offset_text, &map->offset, error)) &&
           (map->length_text == NULL || size_parse(map->length_text, &map->length, error));
}

static MapSource *
cmd_map_open(const Options *options, const char *bitmap, GError **error)
{
    g_autoptr(StrataGraph) graph = NULL;

    if (!options->image_opts && remote_is_uri(options->operands[0]))
        return options_check_remote(options, error)
                   ? source_new_nbd(options->operands[0], bitmap, error)
                   : NULL;
    graph = options_open_graph(options, error);
    if (graph == NULL)
        return NULL;
    return bitmap != NULL ? source_new_bitmap(graph, bitmap, error) : source_new_local(graph);
}

static gboolean
cmd_map_set_range(MapView *view, const MapWords *words, GError **error)
{
    guint64 size = view->source->size;

    if (words->offset > size) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT,
                    "--offset 0x%" G_GINT64_MODIFIER
                    "x is beyond the end of the image at 0x%" G_GINT64_MODIFIER "x",
                    words->offset, size);
        return FALSE;
    }
    view->offset = words->offset;
    view->length = MIN(words->length, size - words->offset);
    return TRUE;
}

typedef struct {
    const MapForm *form;
    gpointer state; /* the form's */
    FILE *out;
    guint64 n_errors;
} MapOutput;

/* An ExtentSink. */
static gboolean
cmd_map_put(const Extent *extent, gpointer data)
{
    MapOutput *output = data;

    if (extent->content == CONTENT_ERROR)
        output->n_errors++;
    output->form->extent(output->state, extent);
    return !ferror(output->out);
}

static gboolean
cmd_map_print(MapSource *source, const MapView *view, const MapForm *form, GError **error)
{
    MapOutput output = { .form = form, .state = form->begin(view), .out = view->out };
    ExtentMerger merger = { .by_leaf = view->leaf, .sink = cmd_map_put, .data = &output };
    gboolean went_through =
        source->each(source, view->offset, view->length, extent_merger_add, &merger, error);

    extent_merger_flush(&merger);
    form->end(output.state);
    if (went_through && output.n_errors > 0) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED,
                    "%" G_GUINT64_FORMAT
                    " of the ranges cannot be told or read: see 'error' in the map",
                    output.n_errors);
        return FALSE;
    }
    return went_through;
}

gboolean
cmd_map(char **words, GError **error)
{
    g_auto(Options) options = { 0 };
    g_auto(MapWords) map = { 0 };
    g_autoptr(MapSource) source = NULL;
    MapView view = { .out = stdout };

    if (!cmd_map_parse(&options, &map, words, error))
        return FALSE;
    source = cmd_map_open(&options, map.bitmap, error);
    if (source == NULL)
        return FALSE;
    view.source = source;
    view.leaf = (map.leaf || options.json) && source->has_leaf;
    if (!cmd_map_set_range(&view, &map, error))
        return FALSE;
    return cmd_map_print(source, &view,
                         options.json  ? &map_form_json
                         : map.picture ? &map_form_picture
                                       : &map_form_text,
                         error);
}
