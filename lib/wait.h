/* SPDX-License-Identifier: LGPL-2.1-or-later
 * wait.h - tells whoever calls strata that this thread is about to wait (strata_set_wait_hook()).
 */
#ifndef STRATA_WAIT_H
#define STRATA_WAIT_H

/* Before a wait for storage, for a remote server, for what another thread is just making, and
 * before work that takes as long. Under no lock. */
void wait_announce(void);

#endif
