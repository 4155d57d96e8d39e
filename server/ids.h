/* SPDX-License-Identifier: LGPL-2.1-or-later
 * ids.h - users and groups of this system, as options and access rules name them. */
#ifndef STRATA_IDS_H
#define STRATA_IDS_H

#include <glib.h>
#include <sys/types.h>

typedef struct {
    uid_t uid;
    char *name; /* owned; NULL: nobody has that number, and .gid is not set */
    gid_t gid;  /* the user's own group */
} UserEntry;

void user_entry_clear(UserEntry *user);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(UserEntry, user_entry_clear)

/* Whom @text means. There is one rule, that of chown(1): a name that somebody has goes before a
 * number, and a number up to 4294967294 is one whether somebody has it or not. Any thread may call
 * these. On failure @out_user and @out_group are as before.
 *
 * SPEC: nobody is called so, and it is no number; IO: the system cannot be asked. */
gboolean ids_find_user(const char *text, UserEntry *out_user, GError **error);
gboolean ids_find_group(const char *text, gid_t *out_group, GError **error);

#endif
