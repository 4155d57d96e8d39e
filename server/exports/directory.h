/* SPDX-License-Identifier: LGPL-2.1-or-later
 * directory.h - a directory of images, each an export of its file's name. */
#ifndef STRATA_DIRECTORY_H
#define STRATA_DIRECTORY_H

#include "access.h"
#include "image.h"

/* How many files a list tells of, the newest; the others are there when asked for. */
#define DIRECTORY_MAX_LISTED 16384

/* Held open, and constant; its files come and go, and are looked at when asked for.
 * Reference-counted; any thread. */
typedef struct _Directory Directory;

/* @settings: .image is the directory, .format that of all its images. @policy: how they may be
 * opened, besides that they lie beneath it. @access: (nullable) (transfer full): who may see them.
 */
Directory *directory_new(const ImageSettings *settings, const StrataPolicy *policy,
                         AccessRules *access, GError **error);
Directory *directory_ref(Directory *directory);
void directory_unref(Directory *directory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Directory, directory_unref)

/* Whether they are one directory on disk. */
gboolean directory_is_same(const Directory *directory, const Directory *other);

gboolean directory_admits(const Directory *directory, const Peer *peer);

/* Returns: (transfer full) (nullable): the image in the file @name; NULL if there is none that is
 * served. Nothing of it is opened. */
Image *directory_find(const Directory *directory, const char *name);

/* Returns: (transfer full): the key of that image's graph, see open-graphs.h */
char *directory_make_key(const Directory *directory, const char *name);

/* Calls @func for each image, the newest first, files of one age by name, until it returns FALSE.
 * One thread at a time reads the directory; what it found is told to others, too, for a second or
 * until files come or go. Returns FALSE when it was ended: by @func, or by @is_over, which is asked
 * now and then while nothing can be told. */
typedef gboolean (*DirectoryFunc)(const char *name, const char *description, gpointer user_data);
typedef gboolean (*DirectoryOverFunc)(gpointer user_data);
gboolean directory_list(Directory *directory, DirectoryFunc func, DirectoryOverFunc is_over,
                        gpointer user_data);

#endif
