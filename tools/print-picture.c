/* SPDX-License-Identifier: LGPL-2.1-or-later
 * print-picture.c - a map as bars, one for each layer, as wide as the terminal.
 *
 *     0                                                    10 MiB
 *     overlay.qcow2  ··········█████·····░░░░░·······················
 *     base.qcow2     █████···········································
 */
#include "print.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "size.h"

#define DEFAULT_WIDTH   80
#define MIN_CELLS       16
#define MAX_WIDTH       400
#define MAX_LABEL_WIDTH 24

/* Rows where the source knows no layers but depths: a server may make up any number. */
#define MAX_DEPTH_ROWS 64

/* What a cell shows, by the range of the image that it stands for. */
typedef struct {
    guint64 data_bytes;
    guint64 compressed_bytes; /* of these */
    guint64 encrypted_bytes;
    gboolean zero;
    gboolean error;
} Cell;

typedef struct {
    const MapView *view;
    guint n_cells; /* a row */
    guint n_rows;
    gboolean has_errors;
    guint flags; /* of all data: STRATA_RUN_COMPRESSED, STRATA_RUN_ENCRYPTED */
    Cell *cells; /* n_rows * n_cells */
} Picture;

typedef struct {
    const char *data, *some_data, *zero, *absent, *error, *compressed, *encrypted;
} Glyphs;

static const Glyphs glyphs_utf8 = { "█", "▄", "░", "·", "!", "▓", "▒" };
static const Glyphs glyphs_ascii = { "#", "+", "0", ".", "!", "c", "e" };

static guint
picture_width(FILE *out)
{
    struct winsize window = { 0 };
    const char *columns = g_getenv("COLUMNS");
    guint64 width = DEFAULT_WIDTH;

    if (ioctl(fileno(out), TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
        width = window.ws_col;
    else if (columns != NULL && g_ascii_isdigit(*columns))
        width = g_ascii_strtoull(columns, NULL, 10);
    return (guint)CLAMP(width, MAX_LABEL_WIDTH + MIN_CELLS + 2, MAX_WIDTH);
}

/* Where cell @index begins; cell n_cells begins where the map ends. */
static guint64
picture_cell_start(const Picture *picture, guint index)
{
    guint64 length = picture->view->length;
    guint64 whole = length / picture->n_cells;
    guint64 rest = length % picture->n_cells;

    return picture->view->offset + whole * index + rest * index / picture->n_cells;
}

/* The cell in which @offset lies; offsets of a map ascend, but cells are found afresh. */
static guint
picture_cell_at(const Picture *picture, guint64 offset)
{
    guint low = 0;
    guint high = picture->n_cells - 1;

    while (low < high) { /* halves the distance each turn */
        guint middle = high - (high - low) / 2;

        if (picture_cell_start(picture, middle) <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The row of an extent, or n_rows if none shows it. */
static guint
picture_row(const Picture *picture, const Extent *extent)
{
    gboolean by_layer = picture->view->source->has_layers;
    gint64 number = by_layer ? extent->layer : extent->depth;

    if (number <= 0 || (by_layer && number > picture->n_rows))
        return picture->n_rows;
    return (guint)MIN(number, (gint64)picture->n_rows) - 1;
}

static void
picture_mark_data(Cell *cell, const Extent *extent, guint64 length)
{
    cell->data_bytes += length;
    if (extent->flags & STRATA_RUN_COMPRESSED)
        cell->compressed_bytes += length;
    if (extent->flags & STRATA_RUN_ENCRYPTED)
        cell->encrypted_bytes += length;
}

static void
picture_mark(Picture *picture, guint row, const Extent *extent)
{
    guint64 end = extent->offset + extent->length;
    guint index = picture_cell_at(picture, extent->offset);

    for (; index < picture->n_cells && picture_cell_start(picture, index) < end; index++) {
        Cell *cell = &picture->cells[(gsize)row * picture->n_cells + index];
        guint64 from = MAX(extent->offset, picture_cell_start(picture, index));
        guint64 to = MIN(end, picture_cell_start(picture, index + 1));

        if (extent->content == CONTENT_DATA)
            picture_mark_data(cell, extent, to - from);
        else if (extent->content == CONTENT_ZERO)
            cell->zero = TRUE;
        else if (extent->content == CONTENT_ERROR)
            cell->error = TRUE;
    }
}

/* An error, and what a server without layers and depths tells, stands in every row. */
static void
picture_extent(gpointer state, const Extent *extent)
{
    Picture *picture = state;
    const MapSource *source = picture->view->source;
    guint row;

    if (extent->content == CONTENT_DATA)
        picture->flags |= extent->flags;
    if (extent->content == CONTENT_ERROR || (!source->has_layers && !source->has_depth)) {
        picture->has_errors |= extent->content == CONTENT_ERROR;
        for (row = 0; row < picture->n_rows; row++)
            picture_mark(picture, row, extent);
        return;
    }
    row = picture_row(picture, extent);
    if (row < picture->n_rows)
        picture_mark(picture, row, extent);
}

static char *
picture_label(const Picture *picture, guint row)
{
    const MapSource *source = picture->view->source;
    g_autofree char *name = NULL;

    if (source->has_layers) {
        name = print_text_layer(source, row + 1);
        if (g_utf8_strlen(name, -1) > MAX_LABEL_WIDTH)
            *g_utf8_offset_to_pointer(name, MAX_LABEL_WIDTH) = '\0';
        return g_steal_pointer(&name);
    }
    if (!source->has_depth)
        return g_strdup("image");
    return g_strdup_printf("depth %u%s", row + 1, row + 1 == MAX_DEPTH_ROWS ? "+" : "");
}

/* Rows of depths that nothing stands in are not drawn. */
static gboolean
picture_row_is_empty(const Picture *picture, guint row)
{
    for (guint index = 0; index < picture->n_cells; index++) {
        const Cell *cell = &picture->cells[(gsize)row * picture->n_cells + index];

        if (cell->data_bytes > 0 || cell->zero || cell->error)
            return FALSE;
    }
    return TRUE;
}

static gboolean
picture_shows_row(const Picture *picture, guint row)
{
    return picture->view->source->has_layers || row == 0 || !picture_row_is_empty(picture, row);
}

static const char *
picture_glyph(const Picture *picture, const Glyphs *glyphs, guint row, guint index)
{
    const Cell *cell = &picture->cells[(gsize)row * picture->n_cells + index];
    guint64 length = picture_cell_start(picture, index + 1) - picture_cell_start(picture, index);

    if (cell->error)
        return glyphs->error;
    if (cell->data_bytes == length && cell->encrypted_bytes == length)
        return glyphs->encrypted;
    if (cell->data_bytes == length && cell->compressed_bytes == length)
        return glyphs->compressed;
    if (cell->data_bytes > 0)
        return cell->data_bytes == length ? glyphs->data : glyphs->some_data;
    return cell->zero ? glyphs->zero : glyphs->absent;
}

static void
picture_put_row(const Picture *picture, const Glyphs *glyphs, guint row)
{
    g_autofree char *label = picture_label(picture, row);
    int padding = MAX_LABEL_WIDTH - (int)g_utf8_strlen(label, -1);

    fprintf(picture->view->out, "%s%*s ", label, padding, "");
    for (guint index = 0; index < picture->n_cells; index++)
        fputs(picture_glyph(picture, glyphs, row, index), picture->view->out);
    fputc('\n', picture->view->out);
}

/* Where the bars begin and end, above their ends. */
static void
picture_put_scale(const Picture *picture)
{
    const MapView *view = picture->view;
    g_autofree char *start = size_to_human(view->offset);
    g_autofree char *end = size_to_human(view->offset + view->length);
    int gap = (int)picture->n_cells - (int)strlen(start) - (int)strlen(end);

    fprintf(view->out, "%*s %s%*s%s\n", MAX_LABEL_WIDTH, "", start, MAX(gap, 1), "", end);
}

static void
picture_put_legend(const Picture *picture, const Glyphs *glyphs)
{
    fprintf(picture->view->out, "%*s %s data  %s some data  %s zero  %s not here", MAX_LABEL_WIDTH,
            "", glyphs->data, glyphs->some_data, glyphs->zero, glyphs->absent);
    if (picture->flags & STRATA_RUN_COMPRESSED)
        fprintf(picture->view->out, "  %s compressed", glyphs->compressed);
    if (picture->flags & STRATA_RUN_ENCRYPTED)
        fprintf(picture->view->out, "  %s encrypted", glyphs->encrypted);
    if (picture->has_errors)
        fprintf(picture->view->out, "  %s error", glyphs->error);
    fputc('\n', picture->view->out);
}

static gpointer
picture_begin(const MapView *view)
{
    Picture *picture = g_new0(Picture, 1);
    guint width = picture_width(view->out) - MAX_LABEL_WIDTH - 1;

    picture->view = view;
    picture->n_cells = (guint)CLAMP(view->length, 1, width);
    picture->n_rows = view->source->has_layers  ? view->source->layers->len
                      : view->source->has_depth ? MAX_DEPTH_ROWS
                                                : 1;
    picture->cells = g_new0(Cell, (gsize)picture->n_rows * picture->n_cells);
    return picture;
}

static void
picture_end(gpointer state)
{
    Picture *picture = state;
    const Glyphs *glyphs = g_get_charset(NULL) ? &glyphs_utf8 : &glyphs_ascii;

    picture_put_scale(picture);
    for (guint row = 0; row < picture->n_rows; row++)
        if (picture_shows_row(picture, row))
            picture_put_row(picture, glyphs, row);
    picture_put_legend(picture, glyphs);
    g_free(picture->cells);
    g_free(picture);
}

const MapForm map_form_picture = {
    .begin = picture_begin,
    .extent = picture_extent,
    .end = picture_end,
};
