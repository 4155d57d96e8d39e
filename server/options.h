/* SPDX-License-Identifier: LGPL-2.1-or-later
 * options.h - the command line of strata-nbd. */
#ifndef STRATA_OPTIONS_H
#define STRATA_OPTIONS_H

#include "snapshot-query.h"

typedef struct {
    char *image;
    char *format;         /* NULL: recognised */
    gboolean image_opts;  /* image is "driver=...,..." */
    char **allow;         /* NULL: none */
    char *backing_format; /* NULL: none */
    gboolean probe;       /* recognise formats that no header tells */
    char **allow_protocols;
    gboolean force_share;
    char **objects;               /* as strata_policy_add_object() takes them */
    char *load_snapshot;          /* NULL: the disk of today */
    SnapshotQuery snapshot_query; /* what load_snapshot means */
    char **bitmaps;               /* that have to be there */

    char *socket;      /* NULL: TCP, or the private socket of run */
    char *bind;        /* NULL: every interface */
    char *port;        /* NULL: the default */
    char *export_name; /* never NULL */
    char *description; /* NULL: the chain in a line */
    int shared;        /* clients at once; 0: no limit; -1: not given */
    gboolean persistent;

    char *run; /* NULL: serve until stopped */
    char *pid_file;
    gboolean exit_with_parent;
    gboolean verbose;

    /* Taken for the sake of scripts written for qemu-nbd; they change nothing. */
    gboolean read_only;
    gboolean allocation_depth;

    gboolean version;
} Options;

void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* @options: all zero before. --help is answered here, and ends the program. */
gboolean options_parse(Options *options, int argc, char **argv, GError **error);

/* Adds where to read on to the message of @error, if there is one: what was given is no use. */
void options_point_to_help(GError **error);

/* Whether the server ends when its last client has left, as qemu-nbd does with -e. */
gboolean options_exit_when_idle(const Options *options);

#endif
