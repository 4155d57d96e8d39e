/* SPDX-License-Identifier: LGPL-2.1-or-later
 * ids.c - looks users and groups up: getpwnam(3), getgrnam(3). */
#include "ids.h"

#include "throw.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <strata/strata.h>

/* Entries of the databases that are longer than this are taken for broken. */
#define MAX_ENTRY (1024 * 1024)

void
user_entry_clear(UserEntry *user)
{
    g_free(user->name);
    *user = (UserEntry){ 0 };
}

/* -1 means "leave it as it is" to the system calls, and is nobody. */
static gboolean
parse_id(const char *text, guint32 *out_id)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT32 - 1, &number, NULL))
        return FALSE;
    *out_id = (guint32)number;
    return TRUE;
}

/* Some systems say by an error that there is no such entry. */
static gboolean
check_lookup(int failed, const char *what, const char *text, GError **error)
{
    g_autofree char *shown = strata_escape(text);

    return failed == 0 || failed == ENOENT || failed == ESRCH ||
           throw_error(error, STRATA_ERROR_IO, "cannot look up the %s '%s': %s", what, shown,
                       g_strerror(failed));
}

/* @name: NULL: that with the number @uid. @found->name stays NULL if there is none. */
static gboolean
look_up_user(const char *name, uid_t uid, const char *text, UserEntry *found, GError **error)
{
    g_autofree char *buffer = NULL;
    struct passwd entry, *result = NULL;
    int failed = ERANGE;

    for (gsize size = 4096; failed == ERANGE && size <= MAX_ENTRY; size *= 2) {
        g_free(buffer);
        buffer = g_malloc(size);
        failed = name == NULL ? getpwuid_r(uid, &entry, buffer, size, &result)
                              : getpwnam_r(name, &entry, buffer, size, &result);
    }
    if (result == NULL)
        return check_lookup(failed, "user", text, error);
    found->uid = entry.pw_uid;
    found->gid = entry.pw_gid;
    found->name = g_strdup(entry.pw_name);
    return TRUE;
}

gboolean
ids_find_user(const char *text, UserEntry *out_user, GError **error)
{
    UserEntry found = { 0 };

    if (!look_up_user(text, 0, text, &found, error))
        return FALSE;
    if (found.name == NULL) {
        g_autofree char *shown = strata_escape(text);

        if (!parse_id(text, &found.uid))
            return throw_error(error, STRATA_ERROR_SPEC, "there is no user '%s'", shown);
        if (!look_up_user(NULL, found.uid, text, &found, error))
            return FALSE;
    }
    *out_user = found;
    return TRUE;
}

gboolean
ids_find_group(const char *text, gid_t *out_group, GError **error)
{
    g_autofree char *shown = strata_escape(text);
    g_autofree char *buffer = NULL;
    struct group entry, *result = NULL;
    int failed = ERANGE;
    guint32 number;

    for (gsize size = 4096; failed == ERANGE && size <= MAX_ENTRY; size *= 2) {
        g_free(buffer);
        buffer = g_malloc(size);
        failed = getgrnam_r(text, &entry, buffer, size, &result);
    }
    if (result == NULL && !check_lookup(failed, "group", text, error))
        return FALSE;
    if (result == NULL && !parse_id(text, &number))
        return throw_error(error, STRATA_ERROR_SPEC, "there is no group '%s'", shown);
    *out_group = result != NULL ? entry.gr_gid : number;
    return TRUE;
}
