/* SPDX-License-Identifier: LGPL-2.1-or-later
 * commands.h - carrying out requests. */
#ifndef STRATA_COMMANDS_H
#define STRATA_COMMANDS_H

#include "reply.h"
#include "worker.h"

/* Checks @request, carries it out and sends all of its reply. */
void command_run(Worker *worker, const Request *request);

/* The client gets the error, the log gets the sentence. */
void command_log(Worker *worker, const Request *request, const char *message);
void command_fail(Worker *worker, const Request *request, guint32 error, const char *message);

/* serve-read.c and block-status.c: for requests that are checked. */
void command_read(Worker *worker, const Request *request);
void command_block_status(Worker *worker, const Request *request);

#endif
