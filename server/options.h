/* SPDX-License-Identifier: LGPL-2.1-or-later
 * options.h - the command line of strata-nbd. */
#ifndef STRATA_OPTIONS_H
#define STRATA_OPTIONS_H

#include "client-limits.h"
#include "exports/snapshot-query.h"
#include "tls/tls.h"

typedef struct {
    char *image;          /* NULL: there is config or directory */
    char *format;         /* NULL: recognised */
    gboolean image_opts;  /* image is "driver=...,..." */
    char **allow;         /* NULL: none */
    char *backing_format; /* NULL: none */
    gboolean probe;       /* recognise formats that no header tells */
    char **allow_protocols;
    gboolean force_share;
    char *metadata_cache;         /* a size; NULL: the default */
    char **objects;               /* as strata_policy_add_object() takes them */
    char *load_snapshot;          /* NULL: the disk of today */
    SnapshotQuery snapshot_query; /* what load_snapshot means */
    char **bitmaps;               /* that have to be there */
    char *config;                 /* a file with exports; NULL: none */
    char *directory;              /* of images that are exports; NULL: none */
    char **access;                /* rules for image and directory; NULL: none */

    char *socket;      /* NULL: TCP, or the private socket of run */
    char *bind;        /* NULL: every interface */
    char *port;        /* NULL: the default */
    char **listen;     /* as strata_address_parse() takes them; NULL: none */
    char *socket_mode; /* NULL: as the umask has it */
    char *socket_group;
    gboolean single;   /* the client is on standard input and output */
    char *export_name; /* never NULL */
    char *description; /* NULL: the chain in a line */
    int shared;        /* clients at once; 0: no limit; -1: not given */
    gboolean persistent;

    LimitOptions limits;

    TlsSettings tls;

    char *run; /* NULL: serve until stopped */
    char *pid_file;
    char *user; /* to become once all is open; NULL: none */
    char *group;
    char *sandbox; /* NULL: auto */
    gboolean exit_with_parent;
    gboolean verbose;
    char *log_format; /* NULL: chosen by where standard error leads */
    char *metrics;    /* an address; NULL: none */

    /* Taken for the sake of scripts written for qemu-nbd; they change nothing. */
    gboolean read_only;
    gboolean allocation_depth;

    gboolean version;
} Options;

void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* @options: all zero before. --help is answered here, and ends the program. */
gboolean options_parse(Options *options, int argc, char **argv, GError **error);

/* Sets @error, which ends with where to read on, and returns FALSE. */
gboolean options_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Adds where to read on to the message of @error, if there is one: what was given is no use. */
void options_point_to_help(GError **error);

/* Whether the server ends when its last client has left, as qemu-nbd does with -e. */
gboolean options_exit_when_idle(const Options *options);

#endif
