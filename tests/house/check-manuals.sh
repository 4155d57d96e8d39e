#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# check-manuals.sh - manual pages are well-formed, and the pages that they point to exist.
source "$(dirname "$0")/../functions.sh"
require_tool podchecker

cd "$SRCDIR/docs"
podchecker -warnings ./*.pod 2>"$tmp/log" || fail "$(cat "$tmp/log")"
if grep WARNING "$tmp/log"; then
    fail "podchecker warns"
fi

# Our own pages, in whatever way they are set: strata-contexts(7), L<strata(1)>
while IFS=: read -r page reference; do
    name=${reference%(*}
    [[ -f $name.pod ]] || fail "$page points to $reference, but docs/$name.pod does not exist"
done < <(grep -oE '\b(lib|nbdkit-)?strata[a-z-]*\([1-8]\)' ./*.pod)

printf '=head1 A\n\n=item B\n' >"$tmp/bad.pod"
assert_fails_with item podchecker "$tmp/bad.pod"
