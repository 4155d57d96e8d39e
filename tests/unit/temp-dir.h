/* SPDX-License-Identifier: LGPL-2.1-or-later
 * temp-dir.h - real files in a directory of the test's own, and graphs over them. */
#ifndef TESTS_TEMP_DIR_H
#define TESTS_TEMP_DIR_H

#include <strata/strata.h>

typedef struct {
    char *path;
} TempDir;

TempDir *temp_dir_new(void);

/* Removes it with all that is in it. */
void temp_dir_free(TempDir *dir);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TempDir, temp_dir_free)

/* The path of @name in it; lives as long as the test program. */
const char *temp_dir_path(TempDir *dir, const char *name);

/* A file of @size bytes that is one hole. Returns its path. */
const char *temp_dir_put_hole(TempDir *dir, const char *name, guint64 size);

/* Writes @length bytes of @byte into a file that is there. */
void temp_dir_fill(TempDir *dir, const char *name, guint64 offset, gsize length, guint8 byte);

/* Writes @length bytes from @bytes into a file that is there. */
void temp_dir_put_bytes(TempDir *dir, const char *name, guint64 offset, const char *bytes,
                        gsize length);

/* A qcow2 image of 1 MiB that holds nothing. @backing, @format: nullable, as its header says them.
 * Returns its path. */
const char *temp_dir_put_qcow2(TempDir *dir, const char *name, const char *backing,
                               const char *format);

/* Opens @text as a file name or json: text. */
StrataGraph *open_text(const char *text, StrataPolicy *policy, GError **error);

/* The same with printf's words; it must open. */
StrataGraph *open_format(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Opening must fail so, with @words in the message, and leave no descriptor open. */
void assert_open_fails(const char *text, StrataPolicy *policy, StrataError code, const char *words);

/* Descriptors that this process has open. */
guint count_descriptors(void);

#endif
