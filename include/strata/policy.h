/* SPDX-License-Identifier: LGPL-2.1-or-later
 * policy.h - what names that stand in image headers may lead to. */
#ifndef STRATA_POLICY_H
#define STRATA_POLICY_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * StrataPolicy:
 * What an image may reach by the names in its header. Images are untrusted, so the default is
 * narrow: regular files and block devices beneath the directory of the topmost image, and no
 * guessing of a backing file's format. Names that the user writes in a spec are not confined.
 *
 * Filled in before strata_graph_open() and not changed afterwards; then it may be shared between
 * threads.
 */
typedef struct _StrataPolicy StrataPolicy;

/**
 * strata_policy_new:
 * Returns: (transfer full): the default policy
 */
StrataPolicy *strata_policy_new(void);

/**
 * strata_policy_allow_dir:
 * @policy: a policy
 * @dir: a directory; names from headers may also lead beneath it
 * @error: %STRATA_ERROR_NOT_FOUND or %STRATA_ERROR_IO if @dir cannot be opened as a directory
 *
 * Returns: whether @dir was added
 */
gboolean strata_policy_allow_dir(StrataPolicy *policy, const char *dir, GError **error);

/**
 * strata_policy_set_backing_format:
 * @policy: a policy
 * @format: (nullable): the driver for backing files whose overlay's header names no format;
 *   %NULL (the default) makes such an overlay an error
 * @error: %STRATA_ERROR_SPEC if @format is not the name of a format driver
 *
 * Returns: whether @format was taken
 */
gboolean strata_policy_set_backing_format(StrataPolicy *policy, const char *format, GError **error);

/** strata_policy_ref: Thread-safe. Returns: (transfer full): @policy */
StrataPolicy *strata_policy_ref(StrataPolicy *policy);

/** strata_policy_unref: Gives up one reference; the last frees the policy. Thread-safe. */
void strata_policy_unref(StrataPolicy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataPolicy, strata_policy_unref)

G_END_DECLS

#endif
