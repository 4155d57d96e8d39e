#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-errors.sh - exit statuses and messages of the strata tool.
source "$(dirname "$0")/../functions.sh"

make_seed_images

status_of()
{
    local status=0

    "$@" >/dev/null 2>&1 </dev/null || status=$?
    echo "$status"
}

# A mistake on the command line: 2. Everything else that fails: 1.
for words in '' 'frobnicate' 'map' 'map a b' 'map --frobnicate a' 'map --offset 1x a' \
    'map --json --picture a' 'why a' 'why a b' 'why nbd://localhost 0' 'map --format raw nbd://h'; do
    # shellcheck disable=SC2086 # these are words
    assert_eq 2 "$(status_of "$STRATA" $words)" "exit status of strata $words"
done
assert_eq 1 "$(status_of "$STRATA" map "$tmp/none.qcow2")" "exit status for a missing file"
assert_eq 1 "$(status_of "$STRATA" map --image-opts driver=none)" "exit status for a bad driver"
assert_eq 1 "$(status_of "$STRATA" map "nbd+unix:///?socket=$tmp/none")" "exit status for no server"
assert_eq 0 "$(status_of "$STRATA" --help)" "exit status of --help"
assert_eq 0 "$(status_of "$STRATA" map --help)" "exit status of map --help"
assert_eq 0 "$(status_of "$STRATA" --version)" "exit status of --version"

assert_fails_with "strata: .*none.qcow2.*No such file" "$STRATA" map "$tmp/none.qcow2"
assert_fails_with "strata: '1x' is no size or offset" "$STRATA" map --offset 1x "$tmp/base.qcow2"
assert_fails_with "strata: cannot connect to .*none" "$STRATA" map "nbd+unix:///?socket=$tmp/none"
for verb in map info why; do
    assert_fails_with "strata: --format does not go with --image-opts: write driver=FORMAT there" \
        "$STRATA" "$verb" --image-opts -f raw "driver=raw,file.filename=$tmp/base.qcow2" 0
done
assert_fails_with "strata: SPEC|URI is missing" "$STRATA" map
assert_fails_with 'strata: cannot write the output' bash -c '"$0" map "$1" >/dev/full' "$STRATA" \
    "$tmp/overlay.qcow2"

# A reader that has had enough is no error worth a message.
{ "$STRATA" map "$tmp/overlay.qcow2" 2>"$tmp/stderr" || true; } | true
assert_eq '' "$(cat "$tmp/stderr")" "message about a closed pipe"
