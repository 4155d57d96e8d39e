/* SPDX-License-Identifier: LGPL-2.1-or-later
 * turns.h - the requests of one client, carried out by the threads of its connection. */
#ifndef STRATA_TURNS_H
#define STRATA_TURNS_H

#include "connection.h"

/* Carries out requests in this thread, and in others that it starts, until there are no more of
 * them or other threads do. */
void turns_run(Connection *connection);

#endif
