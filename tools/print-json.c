/* SPDX-License-Identifier: LGPL-2.1-or-later
 * print-json.c - JSON: RFC 8259, with everything escaped that is not printable, so that it can be
 * looked at in a terminal too. A map is written as it comes, an object a line. */
#include "print.h"

static void
json_put_unichar(FILE *out, gunichar c)
{
    char utf8[6];

    if (c == '"' || c == '\\')
        fprintf(out, "\\%c", (int)c);
    else if (c < 0x80 && g_ascii_isprint((char)c))
        fputc((int)c, out);
    else if (c >= 0x80 && g_unichar_isprint(c))
        fwrite(utf8, 1, (gsize)g_unichar_to_utf8(c, utf8), out);
    else if (c < 0x10000)
        fprintf(out, "\\u%04x", c);
    else
        fprintf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
}

static void
json_put_string(FILE *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    fputc('"', out);
    for (const char *c = valid; *c != '\0'; c = g_utf8_next_char(c))
        json_put_unichar(out, g_utf8_get_char(c));
    fputc('"', out);
}

static void
json_put_nullable(FILE *out, const char *text)
{
    if (text == NULL)
        fputs("null", out);
    else
        json_put_string(out, text);
}

static const char *
json_boolean(gboolean value)
{
    return value ? "true" : "false";
}

/* --- variants --- */

static void
json_put_dictionary(FILE *out, GVariant *dictionary)
{
    GVariantIter iter;
    const char *key;
    GVariant *value;
    const char *separator = "";

    fputc('{', out);
    g_variant_iter_init(&iter, dictionary);
    while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) {
        fputs(separator, out);
        json_put_string(out, key);
        fputc(':', out);
        print_json_variant(value, out);
        separator = ",";
    }
    fputc('}', out);
}

static void
json_put_array(FILE *out, GVariant *array)
{
    fputc('[', out);
    for (gsize i = 0; i < g_variant_n_children(array); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(array, i);

        if (i > 0)
            fputc(',', out);
        print_json_variant(child, out);
    }
    fputc(']', out);
}

void
print_json_variant(GVariant *value, FILE *out)
{
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_VARIANT)) {
        g_autoptr(GVariant) inner = g_variant_get_variant(value);

        print_json_variant(inner, out);
    } else if (g_variant_is_of_type(value, G_VARIANT_TYPE_VARDICT)) {
        json_put_dictionary(out, value);
    } else if (g_variant_is_of_type(value, G_VARIANT_TYPE_ARRAY)) {
        json_put_array(out, value);
    } else if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
        json_put_string(out, g_variant_get_string(value, NULL));
    } else { /* numbers and booleans are written in GVariant's text form as in JSON */
        g_autofree char *text = g_variant_print(value, FALSE);

        fputs(text, out);
    }
}

/* --- maps --- */

typedef struct {
    const MapView *view;
    gboolean any; /* whether an object stands already */
} JsonMap;

static void
json_put_flags(FILE *out, guint flags)
{
    if (flags & STRATA_RUN_COMPRESSED)
        fputs(",\"compressed\":true", out);
    if (flags & STRATA_RUN_ENCRYPTED)
        fputs(",\"encrypted\":true", out);
    if (flags & STRATA_RUN_PAST_END)
        fputs(",\"past-end\":true", out);
}

static void
json_put_layer(FILE *out, const MapSource *source, gint64 layer)
{
    if (layer == EXTENT_UNKNOWN) {
        fputs(",\"layer\":null,\"layer-number\":null", out);
        return;
    }
    fputs(",\"layer\":", out);
    json_put_nullable(out, layer >= 1 && layer <= source->layers->len
                               ? g_ptr_array_index(source->layers, (guint)layer - 1)
                               : NULL);
    fprintf(out, ",\"layer-number\":%" G_GINT64_FORMAT, layer);
}

static void
json_put_leaf(FILE *out, const Extent *extent)
{
    if (extent->leaf == NULL) {
        fputs(",\"leaf\":null,\"leaf-offset\":null,\"leaf-file\":null", out);
        return;
    }
    fputs(",\"leaf\":", out);
    json_put_string(out, strata_node_get_name(extent->leaf));
    fprintf(out, ",\"leaf-offset\":%" G_GUINT64_FORMAT ",\"leaf-file\":", extent->leaf_offset);
    json_put_nullable(out, strata_node_get_filename(extent->leaf));
}

static void
json_put_extent(FILE *out, const MapSource *source, const Extent *extent)
{
    fprintf(out, "{\"offset\":%" G_GUINT64_FORMAT ",\"length\":%" G_GUINT64_FORMAT, extent->offset,
            extent->length);
    if (extent->content == CONTENT_ERROR) {
        fputs(",\"error\":", out);
        json_put_string(out, extent->message);
        fputc('}', out);
        return;
    }
    if (source->is_bitmap) {
        fprintf(out, ",\"dirty\":%s}", json_boolean(extent->content == CONTENT_DIRTY));
        return;
    }
    fprintf(out, ",\"zero\":%s",
            extent->content == CONTENT_UNKNOWN ? "null"
                                               : json_boolean(extent->content == CONTENT_ZERO));
    if (extent->depth == EXTENT_UNKNOWN)
        fputs(",\"depth\":null", out);
    else
        fprintf(out, ",\"depth\":%" G_GINT64_FORMAT, extent->depth);
    json_put_layer(out, source, extent->layer);
    json_put_flags(out, extent->flags);
    if (source->has_leaf)
        json_put_leaf(out, extent);
    fputc('}', out);
}

static gpointer
json_map_begin(const MapView *view)
{
    JsonMap *map = g_new0(JsonMap, 1);

    map->view = view;
    fputc('[', view->out);
    return map;
}

static void
json_map_extent(gpointer state, const Extent *extent)
{
    JsonMap *map = state;

    fputs(map->any ? ",\n" : "\n", map->view->out);
    map->any = TRUE;
    json_put_extent(map->view->out, map->view->source, extent);
}

static void
json_map_end(gpointer state)
{
    JsonMap *map = state;

    fputs("\n]\n", map->view->out);
    g_free(map);
}

const MapForm map_form_json = {
    .begin = json_map_begin,
    .extent = json_map_extent,
    .end = json_map_end,
};

/* --- the walk for one byte --- */

static void
json_put_step(FILE *out, const StrataStep *step)
{
    fputs("{\"node\":", out);
    json_put_string(out, strata_node_get_name(step->node));
    fprintf(out,
            ",\"driver\":\"%s\",\"offset\":%" G_GUINT64_FORMAT ",\"length\":%" G_GUINT64_FORMAT
            ",\"answer\":\"%s\",\"claims\":%s",
            strata_node_get_driver(step->node), step->offset, step->length, step->answer,
            json_boolean(step->claimant != NULL));
    if (step->claimant != NULL) {
        fputs(",\"claimant\":", out);
        json_put_string(out, strata_node_get_name(step->claimant));
    }
    if (step->child != NULL) {
        fprintf(out, ",\"role\":\"%s\",\"child\":",
                strata_role_to_string(strata_node_get_role(step->child)));
        json_put_string(out, strata_node_get_name(step->child));
        fprintf(out, ",\"child-offset\":%" G_GUINT64_FORMAT, step->child_offset);
    }
    fputc('}', out);
}

void
print_json_explanation(const Explanation *why, FILE *out)
{
    fprintf(out, "{\"offset\":%" G_GUINT64_FORMAT ",\"steps\":[", why->offset);
    for (guint i = 0; i < why->steps->len; i++) {
        if (i > 0)
            fputc(',', out);
        json_put_step(out, &g_array_index(why->steps, StrataStep, i));
    }
    fputs("],\"result\":", out);
    json_put_extent(out, why->source, &why->result);
    fputs("}\n", out);
}
