#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-list-exports.sh - the export list tells the layers; names that are not in it are refused.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo jq qemu-img qemu-io

make_seed_images
cd "$tmp"
start_nbdkit "$tmp/s" "$STRATA_PLUGIN" description='the sample' \
    spec=driver=raw,file.driver=qcow2,file.file.driver=file,file.file.filename=overlay.qcow2

list=$(nbdinfo --list --json "$(nbd_uri "$tmp/s")")
assert_eq '
@overlay.qcow2-raw
@overlay.qcow2
@base.qcow2
only@overlay.qcow2
only@base.qcow2
above@overlay.qcow2-raw
above@overlay.qcow2
above@base.qcow2' "$(jq -r '.exports[]."export-name"' <<<"$list")" "export names"
assert_eq 'the sample' "$(jq -r '.exports[0].description' <<<"$list")" "description of the default"
assert_eq 'overlay.qcow2-raw (raw window) > overlay.qcow2 (qcow2) > base.qcow2 (qcow2)' \
    "$(jq -r '.exports[1].description' <<<"$list")" "description of the top node"
for i in 1 3 5; do
    description=$(jq -r ".exports[$i].description" <<<"$list")
    [[ $description == *base.qcow2* || $description == *overlay.qcow2* ]] ||
        fail "description of export $i names no node: $description"
done
assert_eq 'true true' "$(jq -r '.exports[0] | "\(.is_read_only) \(.can_multi_conn)"' <<<"$list")" \
    "read-only and multi-conn flags"

for export in nothing @nothing only@nothing above@ x@base.qcow2; do
    assert_fails_with . nbdinfo --size "$(nbd_uri "$tmp/s" "$export")"
    grep -q "there is no export \"$export\"; the exports are \"\", \"@overlay.qcow2-raw\"" \
        "$server_log" || fail "the log does not say that there is no export '$export'"
done
assert_fails_with . nbdinfo --size "$(nbd_uri "$tmp/s" only@overlay.qcow2-raw)"
grep -q "'overlay.qcow2-raw' is no layer" "$server_log" || fail "a window is taken for a layer"
assert_fails_with . nbdinfo --size "$(nbd_uri "$tmp/s" @base.qcow2-file)"
grep -q "'base.qcow2-file' is the file of node 'base.qcow2'" "$server_log" ||
    fail "a storage leaf is taken for a disk"
