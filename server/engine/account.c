/* SPDX-License-Identifier: LGPL-2.1-or-later
 * account.c - the memory that the requests of one connection take, all together. */
#include "account.h"

void
account_init(Account *account, guint64 limit)
{
    account->limit = limit;
    account->taken = 0;
    account->n_waiting = 0;
    account->spare = g_ptr_array_new_with_free_func(g_free);
    g_mutex_init(&account->lock);
    g_cond_init(&account->given_back);
}

void
account_clear(Account *account)
{
    g_ptr_array_unref(account->spare);
    g_mutex_clear(&account->lock);
    g_cond_clear(&account->given_back);
}

/* Called with the lock held, as is the next one. */
static gboolean
has_room(const Account *account, guint64 bytes)
{
    return account->limit == 0 || account->taken == 0 || bytes == 0 ||
           (account->taken < account->limit && bytes <= account->limit - account->taken);
}

/* What is in use and what is kept stay below the limit together. */
static void
shrink_spare(Account *account)
{
    guint64 room = account->taken < account->limit ? account->limit - account->taken : 0;
    guint n_kept = (guint)MIN(room / ACCOUNT_BUFFER_SIZE, account->spare->len);

    if (account->limit != 0)
        g_ptr_array_set_size(account->spare, (gint)n_kept);
}

void
account_take(Account *account, guint64 bytes)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&account->lock);

    account->n_waiting++;
    while (!has_room(account, bytes))
        g_cond_wait(&account->given_back, &account->lock);
    account->n_waiting--;
    account->taken += bytes;
    shrink_spare(account);
}

void
account_give_back(Account *account, guint64 bytes)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&account->lock);

    account->taken -= bytes;
    if (account->n_waiting > 0)
        g_cond_signal(&account->given_back);
}

guint8 *
account_get_buffer(Account *account)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&account->lock);

    if (account->spare->len == 0)
        return g_try_malloc(ACCOUNT_BUFFER_SIZE);
    return g_ptr_array_steal_index_fast(account->spare, account->spare->len - 1);
}

void
account_put_buffer(Account *account, guint8 *buffer)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&account->lock);

    g_ptr_array_add(account->spare, buffer);
}

void
account_drop_spare(Account *account)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&account->lock);

    g_ptr_array_set_size(account->spare, 0);
}
