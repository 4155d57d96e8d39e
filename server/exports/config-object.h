/* SPDX-License-Identifier: LGPL-2.1-or-later
 * config-object.h - objects that a configuration lends to images. */
#ifndef STRATA_CONFIG_OBJECT_H
#define STRATA_CONFIG_OBJECT_H

#include <strata/strata.h>

/* @text: in the words of strata_policy_add_object(), with file names that begin at @directory.
 * @files: a secret's file is added. Returns: (transfer full): the same with whole file names; NULL
 * with @error for what a configuration cannot lend, since it is read again and again: a
 * descriptor. */
char *config_object_settle(const char *text, const char *directory, GPtrArray *files,
                           GError **error);

#endif
