/* SPDX-License-Identifier: LGPL-2.1-or-later
 * account.h - the memory that the requests of one connection take, all together. */
#ifndef STRATA_ACCOUNT_H
#define STRATA_ACCOUNT_H

#include <glib.h>

#define ACCOUNT_BUFFER_SIZE (1024 * 1024)

/* A request takes all that it needs before it begins, and waits for nothing more while it has it:
 * so two of them never wait for each other. Buffers that are not in use are kept for the next
 * request, within the same limit. */
typedef struct {
    guint64 limit; /* 0: none */

    GMutex lock;      /* guards what follows; nobody waits for a client while holding it */
    GCond given_back; /* signalled when .taken falls, if somebody waits: that is a system call */
    guint n_waiting;
    guint64 taken;    /* by requests that are being carried out */
    GPtrArray *spare; /* buffers of ACCOUNT_BUFFER_SIZE bytes */
} Account;

void account_init(Account *account, guint64 limit);
void account_clear(Account *account);

/* Waits until there is room for @bytes. A request that alone is over the limit has it when no other
 * has any. */
void account_take(Account *account, guint64 bytes);
void account_give_back(Account *account, guint64 bytes);

/* A buffer of ACCOUNT_BUFFER_SIZE bytes, for a request that has taken as many; NULL if the system
 * has no memory for it. */
guint8 *account_get_buffer(Account *account);
void account_put_buffer(Account *account, guint8 *buffer);

/* Frees the spare buffers: the connection is idle. */
void account_drop_spare(Account *account);

#endif
