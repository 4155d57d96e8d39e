/* SPDX-License-Identifier: LGPL-2.1-or-later
 * print-text-info.c - plain text for people: descriptions of images and exports. */
#include "print.h"

#include <string.h>

#include "size.h"

#define TEXT_INDENT   4 /* of what a node is stored in */
#define DETAIL_INDENT 6 /* of what a node is like, so that it does not look like a child */

static gboolean
text_is_list(GVariant *value)
{
    return g_variant_is_of_type(value, G_VARIANT_TYPE_ARRAY) &&
           !g_variant_is_of_type(value, G_VARIANT_TYPE_VARDICT);
}

/* One value on one line. */
static void
text_put_scalar(GVariant *value, FILE *out)
{
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
        g_autofree char *text = strata_escape(g_variant_get_string(value, NULL));

        fputs(text, out);
    } else if (g_variant_is_of_type(value, G_VARIANT_TYPE_BOOLEAN)) {
        fputs(g_variant_get_boolean(value) ? "yes" : "no", out);
    } else if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64) &&
               g_variant_get_uint64(value) >= 1024) {
        g_autofree char *human = size_to_human(g_variant_get_uint64(value));

        fprintf(out, "%" G_GUINT64_FORMAT " (%s)", g_variant_get_uint64(value), human);
    } else {
        g_autofree char *text = g_variant_print(value, FALSE);
        g_autofree char *escaped = strata_escape(text);

        fputs(escaped, out);
    }
}

static const char *
text_lookup(GVariant *dictionary, const char *key)
{
    const char *text = "";

    g_variant_lookup(dictionary, key, "&s", &text);
    return text;
}

/* An export of a server: its name, quoted since it may be empty, and what it says of itself. */
static void
text_put_export(GVariant *export, FILE *out)
{
    const char *description = text_lookup(export, "description");
    g_autofree char *shown_name = strata_escape(text_lookup(export, "name"));
    g_autofree char *shown_description = strata_escape(description);

    fprintf(out, "'%s'%s%s", shown_name, *description == '\0' ? "" : ": ", shown_description);
}

/* ", disk size 10485760 (10 MiB)"; nothing where it is not told or 0. */
static void
text_put_size(GVariant *dictionary, const char *key, const char *words, FILE *out)
{
    g_autoptr(GVariant) size = g_variant_lookup_value(dictionary, key, G_VARIANT_TYPE_UINT64);

    if (size == NULL || g_variant_get_uint64(size) == 0)
        return;
    fprintf(out, ", %s ", words);
    text_put_scalar(size, out);
}

/* As hours, minutes, seconds, milliseconds. */
static void
text_put_clock(guint64 nanoseconds, FILE *out)
{
    guint64 seconds = nanoseconds / G_GUINT64_CONSTANT(1000000000);

    fprintf(out, ", VM clock %02" G_GUINT64_FORMAT ":%02u:%02u.%03u", seconds / 3600,
            (guint)(seconds / 60 % 60), (guint)(seconds % 60),
            (guint)(nanoseconds / 1000000 % 1000));
}

static void
text_put_snapshot(GVariant *snapshot, FILE *out)
{
    g_autofree char *id = strata_escape(text_lookup(snapshot, "id"));
    g_autofree char *name = strata_escape(text_lookup(snapshot, "name"));
    guint64 clock = 0;

    fprintf(out, "%s '%s'", id, name);
    if (*text_lookup(snapshot, "date") != '\0')
        fprintf(out, ", %s", text_lookup(snapshot, "date"));
    text_put_size(snapshot, "disk-size", "disk size", out);
    text_put_size(snapshot, "vm-state-size", "VM state size", out);
    g_variant_lookup(snapshot, "vm-clock-nsec", "t", &clock);
    if (clock > 0)
        text_put_clock(clock, out);
}

static void
text_put_bitmap(GVariant *bitmap, FILE *out)
{
    g_autofree char *name = strata_escape(text_lookup(bitmap, "name"));
    gboolean is_enabled = FALSE;
    gboolean is_in_use = FALSE;
    const char *damage = NULL;

    g_variant_lookup(bitmap, "enabled", "b", &is_enabled);
    g_variant_lookup(bitmap, "in-use", "b", &is_in_use);
    g_variant_lookup(bitmap, "damage", "&s", &damage);
    fprintf(out, "'%s'", name);
    text_put_size(bitmap, "granularity", "granularity", out);
    fprintf(out, ", %s%s", is_enabled ? "enabled" : "disabled",
            is_in_use ? ", in use: it cannot be trusted" : "");
    if (damage != NULL)
        fprintf(out, ", %s: it cannot be trusted", damage);
}

/* What lists of dictionaries hold, by their keys. */
static const struct {
    const char *list;
    void (*put)(GVariant *element, FILE *out);
} text_elements[] = {
    { "exports", text_put_export },
    { "snapshots", text_put_snapshot },
    { "bitmaps", text_put_bitmap },
};

static void
text_put_element(const char *list, GVariant *element, FILE *out)
{
    if (!g_variant_is_of_type(element, G_VARIANT_TYPE_VARDICT)) {
        text_put_scalar(element, out);
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(text_elements); i++)
        if (g_str_equal(text_elements[i].list, list))
            text_elements[i].put(element, out);
}

static void text_put_members(GVariant *dictionary, guint indent, FILE *out);

static void
text_put_elements(const char *key, GVariant *list, guint indent, FILE *out)
{
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        g_autoptr(GVariant) element = g_variant_get_child_value(list, i);
        g_autoptr(GVariant) inner = g_variant_is_of_type(element, G_VARIANT_TYPE_VARIANT)
                                        ? g_variant_get_variant(element)
                                        : g_variant_ref(element);

        fprintf(out, "%*s- ", (int)indent, "");
        text_put_element(key, inner, out);
        fputc('\n', out);
    }
}

/* "key: value"; what has members goes below, further in. Recurses as deep as a driver's own
 * description nests: once. */
static void
text_put_member(const char *key, GVariant *value, guint indent, FILE *out)
{
    g_autofree char *shown = strata_escape(key);

    fprintf(out, "%*s%s:", (int)indent, "", shown);
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_VARDICT)) {
        fputc('\n', out);
        text_put_members(value, indent + 2, out);
    } else if (text_is_list(value)) {
        fputs(g_variant_n_children(value) == 0 ? " none\n" : "\n", out);
        text_put_elements(key, value, indent + 2, out);
    } else {
        fputc(' ', out);
        text_put_scalar(value, out);
        fputc('\n', out);
    }
}

static void
text_put_members(GVariant *dictionary, guint indent, FILE *out)
{
    GVariantIter iter;
    const char *key;
    GVariant *value;

    g_variant_iter_init(&iter, dictionary);
    while (g_variant_iter_loop(&iter, "{&sv}", &key, &value))
        text_put_member(key, value, indent, out);
}

/* "backing: qcow2 'base.qcow2', layer 2, 10 MiB (10485760 bytes)" */
static void
text_put_node_line(GVariant *node, FILE *out)
{
    const char *role;
    const char *name = "";
    const char *driver = "";
    guint32 layer;
    guint64 size = 0;
    g_autofree char *human = NULL;

    if (g_variant_lookup(node, "role", "&s", &role))
        fprintf(out, "%s: ", role);
    g_variant_lookup(node, "driver", "&s", &driver);
    g_variant_lookup(node, "name", "&s", &name);
    fprintf(out, "%s '%s'", driver, name);
    if (g_variant_lookup(node, "layer", "u", &layer))
        fprintf(out, ", layer %u", layer);
    g_variant_lookup(node, "size", "t", &size);
    human = size_to_human(size);
    if (size < 1024)
        fprintf(out, ", %s\n", human);
    else
        fprintf(out, ", %s (%" G_GUINT64_FORMAT " bytes)\n", human, size);
}

static void
text_put_optional(GVariant *node, const char *key, guint indent, FILE *out)
{
    g_autoptr(GVariant) value = g_variant_lookup_value(node, key, NULL);

    if (value != NULL)
        text_put_member(key, value, indent, out);
}

static void
text_put_node(GVariant *node, FILE *out)
{
    g_autoptr(GVariant) details = g_variant_lookup_value(node, "details", G_VARIANT_TYPE_VARDICT);
    guint32 level = 0;
    guint indent;

    g_variant_lookup(node, "level", "u", &level);
    fprintf(out, "%*s", (int)level * TEXT_INDENT, "");
    text_put_node_line(node, out);
    indent = level * TEXT_INDENT + DETAIL_INDENT;
    text_put_optional(node, "filename", indent, out);
    if (details != NULL)
        text_put_members(details, indent, out);
    text_put_optional(node, "snapshots", indent, out);
    text_put_optional(node, "bitmaps", indent, out);
}

void
print_text_info(GVariant *info, FILE *out)
{
    g_autoptr(GVariant) nodes = g_variant_lookup_value(info, "nodes", G_VARIANT_TYPE("aa{sv}"));

    if (nodes == NULL) {
        text_put_members(info, 0, out);
        return;
    }
    for (gsize i = 0; i < g_variant_n_children(nodes); i++) {
        g_autoptr(GVariant) node = g_variant_get_child_value(nodes, i);

        text_put_node(node, out);
    }
}
