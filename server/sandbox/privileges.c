/* SPDX-License-Identifier: LGPL-2.1-or-later
 * privileges.c - --user and --group. The C library changes the IDs of all threads at once; what the
 * kernel does by itself when the last ID of root goes, taking the capabilities, is checked. */
#include "privileges.h"

#include "ids.h"
#include "sanitizers.h"
#include "throw.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void
privileges_clear(Privileges *privileges)
{
    g_free(privileges->user_name);
    *privileges = (Privileges){ 0 };
}

static gboolean
find_user(Privileges *privileges, const char *user, gboolean says_group, GError **error)
{
    g_auto(UserEntry) found = { 0 };

    if (!ids_find_user(user, &found, error)) {
        g_prefix_error(error, "--user: ");
        return FALSE;
    }
    if (found.name == NULL && !says_group)
        return throw_error(error, STRATA_ERROR_SPEC,
                           "--user: no user has the number %u, so that nothing tells its group; "
                           "--group does",
                           found.uid);
    privileges->uid = found.uid;
    privileges->gid = found.gid;
    privileges->user_name = g_steal_pointer(&found.name);
    return TRUE;
}

static gboolean
find_group(Privileges *privileges, const char *group, GError **error)
{
    if (ids_find_group(group, &privileges->gid, error))
        return TRUE;
    g_prefix_error(error, "--group: ");
    return FALSE;
}

gboolean
privileges_find(Privileges *privileges, const char *user, const char *group, GError **error)
{
    g_auto(Privileges) found = { .wanted = TRUE, .uid = geteuid(), .gid = getegid() };

    if (user == NULL && group == NULL)
        return TRUE;
    if (user != NULL && !find_user(&found, user, group != NULL, error))
        return FALSE;
    if (group != NULL && !find_group(&found, group, error))
        return FALSE;
    if (geteuid() != 0)
        return throw_error(
            error, STRATA_ERROR_IO,
            "%s: only root may become somebody else; start the server as root, or as "
            "that user without the option",
            user != NULL ? "--user" : "--group");
    *privileges = found;
    found = (Privileges){ 0 };
    return TRUE;
}

static gboolean
throw_errno(const char *what, GError **error)
{
    return throw_error(error, STRATA_ERROR_IO, "--user, --group: cannot %s: %s", what,
                       g_strerror(errno));
}

static gboolean
set_groups(const Privileges *privileges, GError **error)
{
    int failed = privileges->user_name != NULL ? initgroups(privileges->user_name, privileges->gid)
                                               : setgroups(1, &privileges->gid);

    return failed == 0 || throw_errno("set the supplementary groups", error);
}

static gboolean
has_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    if (syscall(SYS_capget, &header, data) < 0)
        return TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(data); i++)
        if (data[i].effective != 0 || data[i].permitted != 0)
            return TRUE;
    return FALSE;
}

static gboolean
is_for_good(const Privileges *privileges)
{
    uid_t uids[3];
    gid_t gids[3];

    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
        return FALSE;
    for (guint i = 0; i < 3; i++)
        if (uids[i] != privileges->uid || gids[i] != privileges->gid)
            return FALSE;
    if (privileges->uid == 0)
        return TRUE;
    return setresuid((uid_t)-1, 0, (uid_t)-1) < 0 && setresuid(0, 0, 0) < 0 &&
           (privileges->gid == 0 || setresgid(0, 0, 0) < 0) && !has_capabilities();
}

gboolean
privileges_drop(const Privileges *privileges, GError **error)
{
    if (!privileges->wanted)
        return TRUE;
    if (!set_groups(privileges, error))
        return FALSE;
    if (setresgid(privileges->gid, privileges->gid, privileges->gid) < 0)
        return throw_errno("become that group", error);
    if (setresuid(privileges->uid, privileges->uid, privileges->uid) < 0)
        return throw_errno("become that user", error);
    return is_for_good(privileges) ||
           throw_error(error, STRATA_ERROR_IO,
                       "--user, --group: rights of root are left, or could be had again; something "
                       "(securebits, a container) keeps them from going");
}

/* By descriptors, the folder last: from then on it is the user's, who can put links into it. */
gboolean
privileges_give(const Privileges *privileges, const char *directory, const char *name,
                GError **error)
{
    int fd;
    gboolean given;

    if (!privileges->wanted)
        return TRUE;
    fd = open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    given = fd >= 0 &&
            fchownat(fd, name, privileges->uid, privileges->gid, AT_SYMLINK_NOFOLLOW) == 0 &&
            fchownat(fd, "", privileges->uid, privileges->gid, AT_EMPTY_PATH) == 0;
    if (!given)
        throw_errno("hand the private socket of --run to that user", error);
    if (fd >= 0)
        close(fd);
    return given;
}

void
privileges_hide_memory(void)
{
#if !STRATA_HAS_SANITIZER /* the leak check looks at the process from another one */
    prctl(PR_SET_DUMPABLE, 0);
#endif
}
