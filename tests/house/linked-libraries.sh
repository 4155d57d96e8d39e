#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# linked-libraries.sh - no library is loaded at every start but those that every start needs.
source "$(dirname "$0")/../functions.sh"
require_tool readelf

# Sanitizers have libraries of their own, and need libm and the like for them.
needed()
{
    readelf --dynamic --wide "$1" | sed -nE 's/.*\(NEEDED\).*\[(.*)\.so\..*\]/\1/p' |
        grep -vE '^(lib(asan|tsan|ubsan|gcc_s|m|dl|rt|pthread|resolv)|ld-linux.*)$' | sort | xargs
}

assert_eq "libc libdeflate libglib-2.0 libz libzstd" "$(needed "$BUILDDIR/lib/libstrata.so")" \
    "libraries of libstrata (others are in lib/late/)"
assert_eq "libc libglib-2.0 libstrata" "$(needed "$STRATA_NBD")" \
    "libraries of strata-nbd (others are in lib/late/)"
