#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-snapshot.sh - an image as it was at an internal snapshot: by name and by ID, with every verb,
# with the option and with the key of the spec.
source "$(dirname "$0")/../functions.sh"
require_tool jq

cd "$tmp"
make_seed_images
qemu-img snapshot -c before overlay.qcow2
qemu-io -f qcow2 -c 'write -q 7M 1M' -c 'write -q -z 2M 1M' overlay.qcow2
qemu-img snapshot -c 1st overlay.qcow2

lines()
{
    awk 'NR > 1 { print $1, $2, $3, $4, $5 }'
}
today=$("$STRATA" map overlay.qcow2 | lines)
before='0 1048576 data 2 base.qcow2
1048576 1048576 zero 0 -
2097152 1048576 data 1 overlay.qcow2
3145728 1048576 zero 0 -
4194304 1048576 zero 1 overlay.qcow2
5242880 5242880 zero 0 -'
[[ $today != "$before" ]] || fail "the test tries nothing"
assert_eq "$before" "$("$STRATA" map --snapshot before overlay.qcow2 | lines)" "by name"
assert_eq "$before" "$("$STRATA" map --snapshot 1 overlay.qcow2 | lines)" "by ID"
assert_eq "$today" "$("$STRATA" map --snapshot 1st overlay.qcow2 | lines)" "another one"
assert_eq "$before" "$("$STRATA" map --image-opts \
    driver=qcow2,snapshot=before,file.filename=overlay.qcow2 | lines)" "by the spec"
assert_eq '0 1048576 data 1 overlay.qcow2' "$("$STRATA" map --length 1M --image-opts \
    driver=raw,offset=2M,file.driver=qcow2,file.snapshot=before,file.file.filename=overlay.qcow2 |
    lines)" "through a window"
assert_eq data "$("$STRATA" why --json --snapshot before overlay.qcow2 2M |
    jq -r '.steps[-1].answer')" why
assert_eq '["before","1st"]' "$("$STRATA" info --json --snapshot before overlay.qcow2 |
    jq -c '[.nodes[0].snapshots[].name]')" info

assert_fails_with "overlay.qcow2.*no snapshot .*'never'.*1 \('before'\)" \
    "$STRATA" map --snapshot never overlay.qcow2
assert_fails_with "base.raw.*has no snapshots" "$STRATA" map --snapshot x \
    "$(truncate -s 1M base.raw && echo base.raw)"
