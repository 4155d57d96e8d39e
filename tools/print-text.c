/* SPDX-License-Identifier: LGPL-2.1-or-later
 * print-text.c - plain text for people: maps and walks. */
#include "print.h"

char *
print_text_layer(const MapSource *source, gint64 layer)
{
    if (layer <= 0)
        return g_strdup("-");
    if (layer > source->layers->len) /* a server may number more layers than it names */
        return g_strdup_printf("#%" G_GINT64_FORMAT, layer);
    return strata_escape(g_ptr_array_index(source->layers, (guint)layer - 1));
}

/* --- maps --- */

typedef struct {
    const MapView *view;
    int number_width; /* of offsets and lengths */
    int layer_width;
} TextMap;

/* No wider than this: one long name must not push everything off the screen. */
#define MAX_LAYER_WIDTH 32

static const char *const content_words[] = {
    [CONTENT_UNKNOWN] = "-",   [CONTENT_DATA] = "data",   [CONTENT_ZERO] = "zero",
    [CONTENT_ERROR] = "error", [CONTENT_DIRTY] = "dirty", [CONTENT_CLEAN] = "clean",
};

static int
text_number_width(guint64 largest)
{
    return MAX(snprintf(NULL, 0, "%" G_GUINT64_FORMAT, largest), (int)strlen("length"));
}

static int
text_layer_width(const MapSource *source)
{
    glong width = (glong)strlen("layer");

    for (guint i = 0; i < source->layers->len; i++) {
        g_autofree char *name = print_text_layer(source, i + 1);

        width = MAX(width, g_utf8_strlen(name, -1));
    }
    return (int)MIN(width, MAX_LAYER_WIDTH);
}

static gpointer
text_map_begin(const MapView *view)
{
    TextMap *map = g_new0(TextMap, 1);

    map->view = view;
    map->number_width = text_number_width(view->offset + view->length);
    map->layer_width = text_layer_width(view->source);
    fprintf(view->out, "%*s  %*s  ", map->number_width, "start", map->number_width, "length");
    if (view->source->is_bitmap) {
        fputs("bitmap\n", view->out);
        return map;
    }
    fprintf(view->out, "%-15s  %5s  ", "content", "depth");
    if (view->leaf)
        fprintf(view->out, "%-*s  %*s  %s\n", map->layer_width, "layer", map->number_width, "at",
                "in");
    else
        fputs("layer\n", view->out);
    return map;
}

static char *
text_content(const Extent *extent)
{
    return g_strconcat(content_words[extent->content],
                       extent->flags & STRATA_RUN_COMPRESSED ? ",compressed" : "",
                       extent->flags & STRATA_RUN_ENCRYPTED ? ",encrypted" : "",
                       extent->flags & STRATA_RUN_PAST_END ? ",past-end" : "", NULL);
}

static char *
text_depth(gint64 depth)
{
    return depth == EXTENT_UNKNOWN ? g_strdup("-") : g_strdup_printf("%" G_GINT64_FORMAT, depth);
}

/* The file in which a leaf's bytes lie or, if it has none, the node that delivers them. */
static char *
text_leaf(StrataNode *leaf)
{
    const char *filename = strata_node_get_filename(leaf);

    return filename == NULL ? g_strdup_printf("node '%s'", strata_node_get_name(leaf))
                            : strata_escape(filename);
}

static void
text_put_layer_and_leaf(const TextMap *map, const char *layer, const Extent *extent)
{
    g_autofree char *leaf = NULL;
    FILE *out = map->view->out;

    if (!map->view->leaf) {
        fprintf(out, "%s\n", layer);
        return;
    }
    if (extent->leaf == NULL) {
        fprintf(out, "%-*s  %*s  -\n", map->layer_width, layer, map->number_width, "-");
        return;
    }
    leaf = text_leaf(extent->leaf);
    fprintf(out, "%-*s  %*" G_GUINT64_FORMAT "  %s\n", map->layer_width, layer, map->number_width,
            extent->leaf_offset, leaf);
}

static void
text_map_extent(gpointer state, const Extent *extent)
{
    TextMap *map = state;
    FILE *out = map->view->out;
    g_autofree char *content = text_content(extent);
    g_autofree char *depth = text_depth(extent->depth);
    g_autofree char *layer = print_text_layer(map->view->source, extent->layer);

    fprintf(out, "%*" G_GUINT64_FORMAT "  %*" G_GUINT64_FORMAT "  ", map->number_width,
            extent->offset, map->number_width, extent->length);
    if (map->view->source->is_bitmap) {
        fprintf(out, "%s%s%s\n", content, extent->message != NULL ? "  " : "",
                extent->message != NULL ? extent->message : "");
        return;
    }
    fprintf(out, "%-15s  %5s  ", content, depth);
    if (extent->content == CONTENT_ERROR)
        fprintf(out, "%s\n", extent->message);
    else
        text_put_layer_and_leaf(map, layer, extent);
}

static void
text_map_end(gpointer state)
{
    g_free(state);
}

const MapForm map_form_text = {
    .begin = text_map_begin,
    .extent = text_map_extent,
    .end = text_map_end,
};

/* --- the walk for one byte --- */

static void
text_put_step_forward(const StrataStep *step, FILE *out)
{
    const char *role = strata_role_to_string(strata_node_get_role(step->child));

    fprintf(
        out,
        "holds nothing of its own there and forwards to its %s child '%s' at 0x%" G_GINT64_MODIFIER
        "x",
        role, strata_node_get_name(step->child), step->child_offset);
}

static void
text_put_step_data(const StrataStep *step, FILE *out)
{
    if (step->child != NULL)
        fprintf(out, "holds data there, kept in its %s child '%s' at 0x%" G_GINT64_MODIFIER "x",
                strata_role_to_string(strata_node_get_role(step->child)),
                strata_node_get_name(step->child), step->child_offset);
    else
        fputs(strata_node_is_protocol(step->node) ? "holds the bytes themselves"
                                                  : "holds data there in encoded form",
              out);
}

static void
text_put_step(const StrataStep *step, FILE *out)
{
    fprintf(out, "%s '%s' at 0x%" G_GINT64_MODIFIER "x ", strata_node_get_driver(step->node),
            strata_node_get_name(step->node), step->offset);
    if (g_str_equal(step->answer, "forward"))
        text_put_step_forward(step, out);
    else if (g_str_equal(step->answer, "data"))
        text_put_step_data(step, out);
    else if (g_str_equal(step->answer, "zero"))
        fputs(strata_node_is_storage(step->node) ? "has a hole there: zeros"
                                                 : "says that it reads as zeros there",
              out);
    else if (g_str_equal(step->answer, "past-end"))
        fprintf(out, "has ended before, at 0x%" G_GINT64_MODIFIER "x: zeros",
                strata_node_get_size(step->node));
    else
        fputs("holds nothing there and has nobody to ask: zeros", out);
    if (step->claimant == step->node)
        fputs("; it supplies this range", out);
    else if (step->claimant != NULL)
        fprintf(out, "; layer '%s' over there supplies this range",
                strata_node_get_name(step->claimant));
    fputc('\n', out);
}

static void
text_put_result(const Explanation *why, FILE *out)
{
    const Extent *result = &why->result;
    g_autofree char *layer = print_text_layer(why->source, result->layer);
    g_autofree char *content = text_content(result);
    g_autofree char *leaf = NULL;

    if (result->layer == 0)
        fputs("Nobody supplies it (depth 0)", out);
    else
        fprintf(out, "Layer %" G_GINT64_FORMAT ", '%s', supplies it (depth %" G_GINT64_FORMAT ")",
                result->layer, layer, result->depth);
    if (result->content == CONTENT_ERROR) {
        fprintf(out, ", but %s.\n", result->message);
        return;
    }
    fprintf(out, ": %s", content);
    if (result->leaf != NULL) {
        leaf = text_leaf(result->leaf);
        fprintf(out, ", at 0x%" G_GINT64_MODIFIER "x (%" G_GUINT64_FORMAT ") in %s",
                result->leaf_offset, result->leaf_offset, leaf);
    }
    fputs(".\n", out);
}

void
print_text_explanation(const Explanation *why, FILE *out)
{
    fprintf(out, "Offset 0x%" G_GINT64_MODIFIER "x (%" G_GUINT64_FORMAT "):\n", why->offset,
            why->offset);
    for (guint i = 0; i < why->steps->len; i++) {
        fprintf(out, "%3u. ", i + 1);
        text_put_step(&g_array_index(why->steps, StrataStep, i), out);
    }
    text_put_result(why, out);
}
