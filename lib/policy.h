/* SPDX-License-Identifier: LGPL-2.1-or-later
 * policy.h - the gate: every host file of a graph is opened by policy_gate_open_file(), and every
 * name in a header becomes a spec by policy_gate_admit(); nothing else reaches the file system. */
#ifndef STRATA_LIB_POLICY_H
#define STRATA_LIB_POLICY_H

#include <strata/graph.h>
#include <strata/policy.h>
#include <sys/stat.h>

#include "objects.h"

/* A policy at work on one image: it adds the directory of the topmost file. */
typedef struct _PolicyGate PolicyGate;

/* @policy: (nullable): NULL for the default. @top_filename: (nullable): the file of the topmost
 * image as the user named it; its directory is added when that file is opened. NULL where there is
 * none. */
PolicyGate *policy_gate_new(StrataPolicy *policy, const char *top_filename);

/* A graph keeps its gate: what is opened later on (a snapshot) passes the same one, with the same
 * directories. Thread-safe. */
PolicyGate *policy_gate_ref(PolicyGate *gate);
void policy_gate_unref(PolicyGate *gate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PolicyGate, policy_gate_unref)

/* What was lent with strata_policy_add_object(). */
const Objects *policy_gate_get_objects(PolicyGate *gate);

/* Whether files are shared with writers where no spec says anything else. */
gboolean policy_gate_shares(PolicyGate *gate);

#define POLICY_DEFAULT_METADATA_CACHE (32 * 1024 * 1024)

/* Bytes for the tables of a graph. */
gsize policy_gate_get_metadata_cache(PolicyGate *gate);

/* Opens the file of leaf @node for reading; fills in @out_stat. Regular files and block devices
 * only, and only where policy allows it when the leaf's spec comes from a header; anything else is
 * not even opened. Returns a descriptor, or -1 with @error. */
int policy_gate_open_file(PolicyGate *gate, StrataNode *node, struct stat *out_stat,
                          GError **error);

/* The spec of the child in @role that the header of @holder names, completing what the user's spec
 * says of that child.
 * @name: (nullable): as it stands in the header; @format: (nullable): likewise; @given: (nullable):
 * the user's part. One of @name and @given must be there. Messages do not
 * name @holder: the caller does. */
StrataSpec *policy_gate_admit(PolicyGate *gate, StrataNode *holder, StrataRole role,
                              const char *name, const char *format, StrataSpec *given,
                              GError **error);

#endif
