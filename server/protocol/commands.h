/* SPDX-License-Identifier: LGPL-2.1-or-later
 * commands.h - carrying out requests. */
#ifndef STRATA_COMMANDS_H
#define STRATA_COMMANDS_H

#include "reply.h"

/* What asks about more than this takes turns (turnstile.h): that is 256 clusters of 64 KiB. */
#define COMMAND_LIGHT_BYTES ((guint64)16 * 1024 * 1024)

/* How many bytes of memory it takes to carry out @request, checked or not: what depends on what the
 * client asks for. */
guint64 command_memory(const Negotiation *negotiation, const Request *request);

/* What of it is for a walk over the export. */
guint64 command_walk_memory(const Negotiation *negotiation);

/* Checks @request, carries it out and sends all of its reply, or lets it gather (worker.h). */
void command_run(Worker *worker, const Request *request);

/* Answers @request with an error in place of carrying it out. */
void command_turn_down(Worker *worker, const Request *request, guint32 error, const char *message);

/* For heavy work, between two steps: turn_continue() of turnstile.h. Before it waits, or goes on
 * for longer than a slice, the turn to read requests is passed on: until then others do not wait
 * long, and most work is done by then. */
gboolean command_continue(Worker *worker, Turn *turn);

/* The client gets the error, the log gets the sentence. */
void command_log(Worker *worker, const Request *request, guint32 error, const char *message);
void command_fail(Worker *worker, const Request *request, guint32 error, const char *message);

/* What of @message, about reading the image, the client may know: it names nodes and files. */
const char *command_client_message(const Worker *worker, const char *message);

/* serve-read.c and block-status.c: for requests that are checked. */
void command_read(Worker *worker, const Request *request);
void command_block_status(Worker *worker, const Request *request);
guint64 command_read_memory(const Negotiation *negotiation, const Request *request);
guint64 command_block_status_memory(const Negotiation *negotiation, const Request *request);

#endif
