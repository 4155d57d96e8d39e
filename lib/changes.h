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

typedef struct _Changes Changes;

/* How often work is done again; a file that changes all the time is then read as it comes. */
#define CHANGES_TRIES 3

Changes *changes_new(StrataGraph *graph);
void changes_free(Changes *changes);

/* Takes note of the file of leaf @leaf as it is now, before anything is read from it. @fd stays
 * open for as long as the graph. Before changes_start() only. */
void changes_watch(Changes *changes, StrataNode *leaf, int fd);

/* The graph is complete: from now on the files are looked at. */
void changes_start(Changes *changes);

/* Looks at the files, if that is due: a few times a second, whatever is asked. After a change the
 * caches of the graph are empty, and changes_check_node() asks the nodes over that file whether
 * they still hold. Returns the number of the state that the files are in. Waits for no disk and no
 * server. Thread-safe. */
guint changes_begin(Changes *changes);

/* Whether a change was noticed since changes_begin() returned @generation. Thread-safe. */
gboolean changes_intervened(Changes *changes, guint generation);

/* To be called when metadata was read from @storage: a change of the files below it is then noticed
 * by the work that read it. Thread-safe. */
void changes_check_read(Changes *changes, StrataNode *storage);

/* FALSE with @error if the node no longer is what it was when it was opened. May read what lies
 * below the node, or wait for a thread that does: recheck.h. Thread-safe. */
gboolean changes_check_node(StrataNode *node, GError **error);

/* Looks at the files at once. Thread-safe. */
void changes_look(Changes *changes);

#endif
