/* SPDX-License-Identifier: LGPL-2.1-or-later
 * key-file.h - a key file of GLib's, read strictly: what stands twice is a mistake, and every
 * mistake is told with file, group and key. */
#ifndef STRATA_KEY_FILE_H
#define STRATA_KEY_FILE_H

#include <strata/strata.h>

/* The group with what holds for all groups that do not say it themselves. */
#define KEY_FILE_DEFAULTS "DEFAULT"

typedef struct {
    char *path;
    char *directory; /* that it is in */
    GKeyFile *keys;
} KeyFile;

/* The members are there to be cleared, whatever it returns. NOT_FOUND, IO, SPEC. */
gboolean key_file_load(KeyFile *file, const char *path, GError **error);
void key_file_clear(KeyFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(KeyFile, key_file_clear)

/* Puts the file, the key, and the group in which that stands for @group, in front of what @error
 * says. @group, @key: (nullable): it is about the file, or the group, as a whole. Returns FALSE. */
gboolean key_file_say_where(const KeyFile *file, const char *group, const char *key,
                            GError **error);

/* The same for a new error, STRATA_ERROR_SPEC. */
gboolean key_file_throw(const KeyFile *file, const char *group, const char *key, GError **error,
                        const char *format, ...) G_GNUC_PRINTF(5, 6);

/* Returns: (nullable): the group in which the value of @key for @group stands, which may be that of
 * the defaults */
const char *key_file_find_group(const KeyFile *file, const char *group, const char *key);

/* *out_value(s): (transfer full): NULL where @key is not given. A name is not empty; neither is a
 * list, nor a value of one. */
gboolean key_file_get_text(const KeyFile *file, const char *group, const char *key,
                           char **out_value, GError **error);
gboolean key_file_get_name(const KeyFile *file, const char *group, const char *key,
                           char **out_value, GError **error);
gboolean key_file_get_list(const KeyFile *file, const char *group, const char *key,
                           char ***out_values, GError **error);

/* "on" or "off". *@value stays as it is where @key is not given. */
gboolean key_file_get_switch(const KeyFile *file, const char *group, const char *key,
                             gboolean *value, GError **error);

#endif
