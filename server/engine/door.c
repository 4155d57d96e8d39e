/* SPDX-License-Identifier: LGPL-2.1-or-later
 * door.c - how fast a listener lets in clients that come to nothing. */
#include "door.h"

/* A door that is out of tokens rests so long, rather than to let in one client at a time. */
#define REST_USEC (20 * G_TIME_SPAN_MILLISECOND)

void
door_init(Door *door)
{
    *door = (Door){ .tokens = { .left = DOOR_TOKENS_MAX, .filled_at = g_get_monotonic_time() } };
    g_mutex_init(&door->lock);
}

void
door_clear(Door *door)
{
    g_mutex_clear(&door->lock);
}

gint64
door_opens_at(Door *door, gint64 now)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&door->lock);

    tokens_grow(&door->tokens, now, DOOR_TOKENS_PER_SECOND, DOOR_TOKENS_MAX);
    if (door->tokens.left < 1 && door->rests_until <= now)
        door->rests_until = now + REST_USEC;
    return door->rests_until;
}

void
door_take_token(Door *door)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&door->lock);

    door->tokens.left--;
}

/* Tokens never grow beyond their most, which the next look at them sees to. */
void
door_give_back(Door *door)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&door->lock);

    door->tokens.left++;
}
