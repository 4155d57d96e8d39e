#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# bench-run.sh - that the benchmarks can be run; what they measure is nobody's business here.
source "$(dirname "$0")/../functions.sh"

"$SRCDIR/bench/run" --quick --only ready-tiny connect --only map-sparse --folder "$tmp/images" \
    --json "$tmp/figures" >"$tmp/tables"
for title in 'ready to serve, tiny image' 'connections per second' 'map, 4 TiB, 4 layers, 0.1 %'; do
    grep -q "^| $title | [0-9]" "$tmp/tables" || fail "no row '$title' in $(cat "$tmp/tables")"
    grep -q "^| $title: strata-nbd | [0-9]" "$tmp/tables" || fail "nothing of ours for '$title'"
    grep -q "^| $title: qemu-nbd | [0-9]" "$tmp/tables" || fail "nothing of a peer's for '$title'"
done
assert_eq 3 "$(jq length "$tmp/figures")" "workloads in the figures"
assert_fails_with "no workload is called nothing" "$SRCDIR/bench/run" --only nothing
