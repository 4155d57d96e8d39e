/* SPDX-License-Identifier: LGPL-2.1-or-later
 * policy.h - the gate: every host file of a graph is opened by policy_gate_open_file(), and every
 * name in a header becomes a spec by policy_gate_admit(); nothing else reaches the file system. */
#ifndef STRATA_LIB_POLICY_H
#define STRATA_LIB_POLICY_H

#include <strata/graph.h>
#include <strata/policy.h>
#include <sys/stat.h>

/* A policy at work on one graph: it adds the directory of the topmost image. */
typedef struct _PolicyGate PolicyGate;

/* @policy: (nullable): NULL for the default. @top_filename: (nullable): the file of the topmost
 * image as the user named it; NULL where there is none, and no directory is added. */
PolicyGate *policy_gate_new(StrataPolicy *policy, const char *top_filename);
void policy_gate_free(PolicyGate *gate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PolicyGate, policy_gate_free)

/* Opens the file of leaf @node for reading; fills in @out_stat. Regular files and block devices
 * only, and only where policy allows it when the leaf's spec comes from a header. Never blocks on a
 * FIFO. Returns a descriptor, or -1 with @error. */
int policy_gate_open_file(PolicyGate *gate, StrataNode *node, struct stat *out_stat,
                          GError **error);

/* The spec of the child in @role that the header of @holder names, completing what the user's spec
 * says of that child.
 * @name: (nullable): as it stands in the header; @format: (nullable): likewise; @given: (nullable):
 * the user's part. One of @name and @given must be
 * there. Messages do not name @holder: the caller does. */
StrataSpec *policy_gate_admit(PolicyGate *gate, StrataNode *holder, StrataRole role,
                              const char *name, const char *format, StrataSpec *given,
                              GError **error);

#endif
