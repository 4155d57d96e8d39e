#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-over-server-in-background.sh - nbdkit opens the graph and then forks: the connections to a server
# are made anew in the child, wherever it stands, and its parent's are gone.
source "$(dirname "$0")/../functions.sh"

make_seed_images
make_seed_content "$tmp/expected"
start_qemu_nbd "$tmp/q" -f raw "$tmp/overlay.qcow2"
start_strata_nbd "$tmp/b" "$tmp/base.qcow2"

# The header of the overlay is read before the fork, over the connection that is left behind; the
# names of the sockets are relative, and nbdkit changes its directory.
cd "$tmp"
nbdkit --unix "$tmp/n" --pidfile "$tmp/n.pid" "$STRATA_PLUGIN" \
    'spec=json:{"driver":"qcow2","file":{"driver":"nbd","path":"q"},"backing":{"driver":"raw","file":{"driver":"nbd","path":"b"}}}' \
    </dev/null
wait_until "nbdkit's pid file" test -s "$tmp/n.pid"
cleanup_fn kill "$(cat "$tmp/n.pid")"
nbdcopy "$(nbd_uri "$tmp/n")" "$tmp/copy"
cmp "$tmp/expected" "$tmp/copy" || fail "the content by a forked nbdkit differs"
assert_map "$(nbd_uri "$tmp/n")" base:allocation <<'END'
0   1M  0
1M  1M  3
2M  1M  0
3M  7M  3
END
