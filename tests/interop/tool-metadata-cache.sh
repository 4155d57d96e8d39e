#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-metadata-cache.sh - with the least memory for tables a long chain of large images is mapped and
# read as with the most, though not even one table of each layer fits.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img qemu-io nbdinfo
cd "$tmp"

# Each layer says 16 TiB; some have clusters of their own and clusters that hide those of the layer
# below, far from each other: each with an L2 table of its own. They are copies of one with other
# names in the header.
qemu-img create -q -f qcow2 00.qcow2 16T
qemu-img create -q -f qcow2 -b 00.qcow2 -F qcow2 01.qcow2 16T
for i in {2..63}; do
    LC_ALL=C sed "s/00\.qcow2/$(printf %02d $((i - 1))).qcow2/" 01.qcow2 >"$(printf %02d "$i").qcow2"
done
for i in 0 7 21 42 63; do
    qemu-io -t unsafe -f qcow2 -c "write -q -P $((i + 1)) $((i * 100))G 64k" \
        -c 'write -q -P 9 9T 64k' -c "write -q -P $((i + 1)) 15T 64k" "$(printf %02d "$i").qcow2"
done

"$STRATA" map --json --metadata-cache 64G 63.qcow2 >most
"$STRATA" map --json --metadata-cache 1M 63.qcow2 >least
cmp most least
assert_eq 14 "$(grep -c '"offset"' least)" "runs"

# shellcheck disable=SC2016 # the server sets $uri
"$STRATA_NBD" --metadata-cache=1M --run 'qemu-io -r -f raw -c "read -q -P 8 700G 64k" \
    -c "read -q -P 1 0 64k" -c "read -q -P 64 15T 64k" -c "read -q -P 0 14T 1M" "$uri"' 63.qcow2
