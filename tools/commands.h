/* SPDX-License-Identifier: LGPL-2.1-or-later
 * commands.h - the verbs of the strata tool. */
#ifndef STRATA_TOOL_COMMANDS_H
#define STRATA_TOOL_COMMANDS_H

#include <glib.h>

/* Each takes its words as main() does (the verb in the place of the program's name, NULL at the
 * end) and prints to standard output. A G_OPTION_ERROR is a mistake in the words. */
gboolean cmd_info(char **words, GError **error);
gboolean cmd_map(char **words, GError **error);
gboolean cmd_why(char **words, GError **error);

#endif
