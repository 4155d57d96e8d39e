/* SPDX-License-Identifier: LGPL-2.1-or-later
 * privileges.h - --user and --group: whom the server becomes once it has opened what it needs. */
#ifndef STRATA_PRIVILEGES_H
#define STRATA_PRIVILEGES_H

#include <glib.h>
#include <sys/types.h>

/* All zero: the server stays who it is. */
typedef struct {
    gboolean wanted;
    uid_t uid;
    gid_t gid;
    char *user_name; /* owned; NULL where only the group changes, or nobody is called so */
} Privileges;

void privileges_clear(Privileges *privileges);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Privileges, privileges_clear)

/* Looks up whom @user and @group mean, names or numbers, each of them NULL where it was not given.
 * Changes nothing yet. SPEC: nobody is called so; IO: only root may become somebody else. */
gboolean privileges_find(Privileges *privileges, const char *user, const char *group,
                         GError **error);

/* Becomes that user, with that group and the user's other groups, in every thread of the process
 * and for good: that there is no way back is tried. Does nothing where nothing is wanted. */
gboolean privileges_drop(const Privileges *privileges, GError **error);

/* Hands @directory, and the file @name in it, to that user, who has had no access to it so far.
 * Does nothing where nothing is wanted. */
gboolean privileges_give(const Privileges *privileges, const char *directory, const char *name,
                         GError **error);

/* Keeps what this process has in memory from core dumps and from other processes of its user. */
void privileges_hide_memory(void);

#endif
