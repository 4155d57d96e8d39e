/* SPDX-License-Identifier: LGPL-2.1-or-later
 * capabilities.c - capabilities(7): each thread has its own, and hands them on to those that it
 * starts. */
#include "capabilities.h"

#include "every-thread.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (1 << (capability))

/* All that are ever kept have low numbers: they are bits of the first word of capset(2). */
static int
choose(const SandboxNeeds *needs)
{
    int kept = BIT(CAP_DAC_READ_SEARCH);

    /* A socket's directory may be another user's, and so may the socket of a server. */
    if (needs->removable != NULL || needs->emptied != NULL || needs->uses_unix)
        kept |= BIT(CAP_DAC_OVERRIDE);
    /* The command of --run may have become somebody else. */
    if (needs->child != 0)
        kept |= BIT(CAP_KILL);
    return kept;
}

/* Without CAP_SETPCAP the bounding set stays, and matters no more: with no_new_privs no program
 * that is started gets what its parent did not have. */
static void
empty_other_sets(int kept)
{
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        if (i >= 31 || (kept & BIT(i)) == 0)
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/* In a signal handler. What is to be called is called only where it changes something: service
 * managers forbid capset(2) to whom they give no capabilities. */
static int
limit_thread(int kept)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    gboolean has_more = FALSE;

    empty_other_sets(kept);
    if (syscall(SYS_capget, &header, data) < 0)
        return errno;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        guint32 allowed = i == 0 ? (guint32)kept : 0;

        has_more |= (data[i].permitted & ~allowed) != 0 || data[i].inheritable != 0;
        data[i].permitted &= allowed;
        data[i].effective &= allowed;
        data[i].inheritable = 0;
    }
    return has_more && syscall(SYS_capset, &header, data) < 0 ? errno : 0;
}

gboolean
capabilities_limit(const SandboxNeeds *needs, GError **error)
{
    return every_thread_call(limit_thread, choose(needs), error);
}
