/* SPDX-License-Identifier: LGPL-2.1-or-later
 * command-line.h - what the command line itself says is served: the IMAGE, and the images of
 * --directory. */
#ifndef STRATA_COMMAND_LINE_H
#define STRATA_COMMAND_LINE_H

#include "exports/export.h"
#include "options.h"

typedef struct {
    const Options *options;
    StrataPolicy *policy; /* owned: how all of it may be opened */
} CommandLine;

/* Reads secrets and opens the allowed directories, once: what is made later goes by that. A
 * descriptor that is lent is another one's by then. */
gboolean command_line_init(CommandLine *line, const Options *options, GError **error);
void command_line_clear(CommandLine *line);

/* Returns: (transfer full): the export of the IMAGE, open; there has to be one */
Export *command_line_open(const CommandLine *line, GError **error);

/* Opens the directory by its name as it now is. *out_directory: (transfer full): NULL where none is
 * served */
gboolean command_line_open_directory(const CommandLine *line, Directory **out_directory,
                                     GError **error);

#endif
