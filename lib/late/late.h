/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late.h - libraries that are loaded when they are first needed.
 *
 * Loading all libraries that any image, option or client may want takes several times as long as
 * opening an image and being ready to serve it. Those that most never need are not linked to, but
 * loaded by the first who does; after that, calling a function of theirs costs what calling any
 * library's does. A header late-NAME.h takes the place of the library's own: its types and
 * constants are these, and the name of each function that strata uses leads to a pointer.
 *
 * Whoever gives up reading files (the server's sandbox) loads before what may be needed after. */
#ifndef STRATA_LATE_H
#define STRATA_LATE_H

#include <glib.h>

typedef struct {
    const char *name;
    gpointer *place; /* of the pointer to it */
} LateSymbol;

typedef struct {
    const char *file; /* the name that the dynamic linker finds it by: of the version of the
                         interface that its headers are of */
    const LateSymbol *symbols;
    gsize n_symbols;
    GMutex lock;     /* guards what follows, and writing to the places */
    gboolean loaded; /* and never unloaded */
} LateLibrary;

#define LATE_DECLARE(symbol) extern __typeof__(symbol) *late_##symbol;
#define LATE_DEFINE(symbol)  __typeof__(symbol) *late_##symbol;
#define LATE_SYMBOL(symbol)  { #symbol, (gpointer *)&late_##symbol },

#define LATE_LIBRARY(library_file, its_symbols)                                                   \
    {                                                                                             \
        .file = (library_file), .symbols = (its_symbols), .n_symbols = G_N_ELEMENTS(its_symbols), \
    }

/* Loads @library, unless it is loaded already. UNSUPPORTED: it is not there, or is not what it
 * should be. */
gboolean late_load(LateLibrary *library, GError **error);

#endif
