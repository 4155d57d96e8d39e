/* SPDX-License-Identifier: LGPL-2.1-or-later
 * changes.h - the files of a graph that change while it is open: noticed, logged, and what was
 * remembered of them dropped.
 *
 * A piece of work that must not mix what stood in a file before a change and after it is done so:
 *
 *      do {
 *          generation = changes_begin(changes);
 *          ... read tables, from the cache or from files ...
 *      } while (changes_intervened(changes, generation) && this was not the last try);
 */
#ifndef STRATA_CHANGES_H
#define STRATA_CHANGES_H

#include <strata/graph.h>

#include "file-stamp.h"

typedef struct _Changes Changes;

/* How often work is done again; a file that changes all the time is then read as it comes. */
#define CHANGES_TRIES 3

Changes *changes_new(StrataGraph *graph);
void changes_free(Changes *changes);

/* Takes note of the file of leaf @leaf with the @stamp that it had before anything was read from
 * it. @fd stays open for as long as the graph. Before changes_start() only. */
void changes_watch(Changes *changes, StrataNode *leaf, int fd, const FileStamp *stamp);

/* The graph is complete: from now on the files are looked at. */
void changes_start(Changes *changes);

/* Looks at the files, if that is due: a few times a second, whatever is asked. After a change the
 * caches of the graph are empty, and changes_check_node() (node.h) asks the nodes over that
 * file whether they still hold. Returns the number of the state that the files are in. Waits for no
 * disk and no server. Thread-safe. */
guint changes_begin(Changes *changes);

/* Whether a change was noticed since changes_begin() returned @generation. Thread-safe. */
gboolean changes_intervened(Changes *changes, guint generation);

/* The number of the state that the files were in when they were last looked at, for who remembers
 * something of a file: as long as it is the same, no change has been noticed. 0: there is none,
 * just now or at all, and whoever asks has to look himself. Does not look, does not wait.
 * Thread-safe. */
guint changes_get_state(Changes *changes);

/* To be called when metadata was read from @storage: a change of the files below it is then noticed
 * by the work that read it. Thread-safe. */
void changes_check_read(Changes *changes, StrataNode *storage);

/* Looks whether all files below @node are as they were when they were last looked at, and have been
 * for a while. Thread-safe. */
gboolean changes_are_still(Changes *changes, StrataNode *node);

/* A file is known to have changed: whoever asks next looks at the files. Thread-safe. */
void changes_make_due(Changes *changes);

/* For changes_check_node() of node.h, where some node of the graph is in doubt. */
gboolean changes_check_doubtful(StrataNode *node, GError **error);

/* Looks at the files at once. Thread-safe. */
void changes_look(Changes *changes);

#endif
