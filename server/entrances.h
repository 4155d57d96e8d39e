/* SPDX-License-Identifier: LGPL-2.1-or-later
 * entrances.h - where clients come in: what the options, the service manager and --run ask for. */
#ifndef STRATA_ENTRANCES_H
#define STRATA_ENTRANCES_H

#include "engine.h"
#include "options.h"

typedef struct {
    char *directory; /* of the private socket of --run, or NULL */
    GArray *handed;  /* of HandedSocket; NULL: not asked for yet */
    int client;      /* of --single; -1: none */
} Entrances;

#define ENTRANCES_INIT ((Entrances){ .client = -1 })

/* Reads the addresses and rights in @options, which are changed no more; opens nothing. */
gboolean entrances_check(const Options *options, GError **error);

/* --socket-mode and --socket-group, for every Unix socket of the server. */
gboolean entrances_read_rights(const Options *options, StrataSocketRights *out_rights,
                               GError **error);

/* Takes what was handed over by descriptor. To be called before there are threads. */
gboolean entrances_take(Entrances *entrances, const Options *options, GError **error);

/* Makes @engine listen everywhere, or fails before anybody is served. With --single it listens
 * nowhere. */
gboolean entrances_open(Entrances *entrances, StrataEngine *engine, const Options *options,
                        GError **error);

/* Begins to serve. */
gboolean entrances_start(Entrances *entrances, StrataEngine *engine, GError **error);

/* Says where: in the log, and on standard output if a port was chosen that nobody can know. */
void entrances_tell(StrataEngine *engine, const Options *options);

/* Warns where whoever reaches this machine by TCP is served. @has_rules: there are access rules */
void entrances_warn(StrataEngine *engine, const Options *options, gboolean has_rules);

/* For people: where clients come in, in a line. Free with g_free(). */
char *entrances_describe(StrataEngine *engine, const Options *options);

/* After the engine has stopped. May be called more than once. */
void entrances_close(Entrances *entrances);

#endif
