#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# check-symbols.sh - headers, version map, library and manual name the same functions.
source "$(dirname "$0")/../functions.sh"
require_tool nm

# GLib's convention: a declaration is not indented, and "name(" follows the type.
declared=$(sed -nE 's/^[A-Za-z].*[ *](strata_[a-z0-9_]+)\(.*/\1/p' "$SRCDIR"/include/strata/*.h |
    sort -u)
mapped=$(sed -nE 's/^    (strata_[a-z0-9_]+);$/\1/p' "$SRCDIR/lib/strata.map" | sort)
exported=$(nm --dynamic --defined-only "$BUILDDIR/lib/libstrata.so" |
    awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort)

[[ $(wc -l <<<"$declared") -gt 30 ]] || fail "found hardly a function in include/strata/"
assert_eq "$declared" "$mapped" "functions in include/strata/ and in lib/strata.map"
assert_eq "$mapped" "$exported" "functions in lib/strata.map and in libstrata.so"

while read -r function; do
    grep -qw "$function" "$SRCDIR/docs/libstrata.pod" ||
        fail "docs/libstrata.pod does not tell of $function()"
done <<<"$declared"
