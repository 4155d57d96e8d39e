/* SPDX-License-Identifier: LGPL-2.1-or-later
 * describe.h - what "strata info" tells, as one "a{sv}" that every form prints.
 *
 * Of a graph: size (t), nodes (aa{sv}). The nodes stand in pre-order in a flat list, since a chain
 * may be deeper than what readers of JSON take; each has name (s), driver (s), size (t), level (u:
 * how many file and data-file edges lead to it), and where they apply role (s), parent (s), layer
 * (u), filename (s), details (a{sv}: the driver's own), snapshots (aa{sv}: id, name, date (s),
 * disk-size, vm-state-size, vm-clock-nsec (t)), bitmaps (aa{sv}: name (s), granularity (t),
 * enabled, in-use (b), damage (s)).
 *
 * Of a remote export: uri, export, description (s), size (t), flags (as), block-size (a{sv}),
 * layers, contexts (as), exports (aa{sv}: name, description). */
#ifndef STRATA_TOOL_DESCRIBE_H
#define STRATA_TOOL_DESCRIBE_H

#include <strata/strata.h>

/* Names of files and what servers say are bytes; variants and JSON hold text. */
static inline void
describe_add_text(GVariantBuilder *builder, const char *key, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    g_variant_builder_add(builder, "{sv}", key, g_variant_new_string(valid));
}

/* describe-kept.c: add "snapshots" and "bitmaps", if @node keeps any. */
void describe_add_snapshots(GVariantBuilder *builder, StrataNode *node);
void describe_add_bitmaps(GVariantBuilder *builder, StrataNode *node);

/* describe-graph.c. A full reference. */
GVariant *describe_graph(StrataGraph *graph);

/* describe-remote.c: connects. A full reference, or NULL with @error set. */
GVariant *describe_remote(const char *uri, GError **error);

#endif
