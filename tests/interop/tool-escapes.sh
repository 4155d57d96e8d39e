#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-escapes.sh - what a server or an image says cannot write control sequences to a terminal.
source "$(dirname "$0")/../functions.sh"
require_tool jq

evil=$'evil\e]0;title\a'

start_nbdkit "$tmp/n" --filter=exportname null size=1M exportname-list=explicit \
    exportname=plain exportname="$evil" exportdesc=fixed:"$evil"
"$STRATA" info "$(nbd_uri "$tmp/n" plain)" >"$tmp/text"
"$STRATA" info --json "$(nbd_uri "$tmp/n" plain)" >"$tmp/json"
if grep -q $'[\e\a]' "$tmp/text" "$tmp/json"; then
    fail "a control character came through"
fi
grep -q evil "$tmp/text" || fail "the description is not shown"
assert_eq "$evil" "$(jq -r .description "$tmp/json")" "description in JSON"

# A file name.
cp -f /dev/null "$tmp/$evil"
truncate -s 1M "$tmp/$evil"
for verb in info 'map --leaf'; do
    # shellcheck disable=SC2086 # these are words
    "$STRATA" $verb "$tmp/$evil" >"$tmp/text"
    if grep -q $'[\e\a]' "$tmp/text"; then
        fail "a control character came through strata $verb"
    fi
done
