/* SPDX-License-Identifier: LGPL-2.1-or-later
 * print.h - the forms in which things are printed. Everything that came out of an image or off a
 * socket is escaped here and nowhere earlier. */
#ifndef STRATA_TOOL_PRINT_H
#define STRATA_TOOL_PRINT_H

#include <stdio.h>

#include "source.h"

/* What of a map is printed, and where to. */
typedef struct {
    const MapSource *source;
    guint64 offset;
    guint64 length;
    gboolean leaf; /* show where the bytes lie */
    FILE *out;
} MapView;

/* A form of a map. begin() returns the state that the others take; end() frees it. end() is called
 * however the map went, so that what was printed is well-formed. */
typedef struct {
    gpointer (*begin)(const MapView *view);
    void (*extent)(gpointer state, const Extent *extent);
    void (*end)(gpointer state);
} MapForm;

extern const MapForm map_form_text;    /* print-text.c */
extern const MapForm map_form_json;    /* print-json.c */
extern const MapForm map_form_picture; /* print-picture.c */

/* A description of an image ("a{sv}", see describe.h). */
void print_text_info(GVariant *info, FILE *out);

/* Any variant that holds no more than strings, booleans, integers, arrays and string-keyed
 * dictionaries, on one line. */
void print_json_variant(GVariant *value, FILE *out);

/* The walk for one byte. */
typedef struct {
    MapSource *source; /* what numbers the layers */
    guint64 offset;
    const GArray *steps; /* StrataStep */
    Extent result;
} Explanation;

void print_text_explanation(const Explanation *why, FILE *out);
void print_json_explanation(const Explanation *why, FILE *out);

/* The name of a layer number as it may be printed; "-" for nobody and where it is not known.
 * print-text.c. Free with g_free(). */
char *print_text_layer(const MapSource *source, gint64 layer);

#endif
