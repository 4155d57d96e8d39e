/* SPDX-License-Identifier: LGPL-2.1-or-later
 * driver-remote.c - a layer behind an NBD server that told of it: a name to claim by.
 *
 * The nodes of one server stand below the "nbd" leaf like a chain, from the top of the remote graph
 * down, so that whatever is asked of names, order and "above" holds for them as for nodes of this
 * machine. No walk comes to them: the leaf answers for all of them (StrataAnswer.layer). */
#include "driver.h"
#include "error.h"
#include "node.h"

static gboolean
remote_open(StrataNode *node, StrataOpener *opener, GError **error)
{
    return strata_throw(error, node, STRATA_ERROR_INTERNAL, "a remote layer is not opened");
}

static void
remote_close(StrataNode *node)
{
    g_free(node->state);
}

static gsize
remote_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
           gsize max_answers, GError **error)
{
    strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                 "this layer is on another server, which alone can show what lies below it: ask it "
                 "for its export EXPORT@NODE");
    return 0;
}

const StrataDriver strata_driver_remote = {
    .name = "remote",
    .open = remote_open,
    .close = remote_close,
    .map = remote_map,
};
