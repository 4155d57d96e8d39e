#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# installed-library.sh - the example builds against the installed library, by pkg-config, and runs.
source "$(dirname "$0")/../functions.sh"
require_tool meson pkg-config gcc

DESTDIR=$tmp/root meson install -C "$BUILDDIR" --no-rebuild --quiet
prefix=$(meson introspect --buildoptions "$BUILDDIR" | jq -r '.[] | select(.name=="prefix").value')
pc=$(find "$tmp/root" -name strata.pc)
export PKG_CONFIG_PATH=${pc%/*}
# As it will stand when DESTDIR is copied into place, but here.
sed -i "s|^prefix=$prefix\$|prefix=$tmp/root$prefix|" "$pc"
flags=$(pkg-config --cflags --libs strata)
library=$(find "$tmp/root" -name libstrata.so -printf '%h')

# shellcheck disable=SC2086 # The words of pkg-config are meant to be split.
gcc -Wall -Wextra -Werror -o "$tmp/example" "$SRCDIR/docs/example.c" $flags ||
    fail "docs/example.c does not build against the installed library"

make_seed_images
cd "$tmp"
assert_eq "$(cat <<'END'
         0    1048576  base.qcow2       11 11 11 11
   1048576    1048576  nobody           zeros
   2097152    1048576  overlay.qcow2    22 22 22 22
   3145728    1048576  nobody           zeros
   4194304    1048576  overlay.qcow2    zeros
   5242880    5242880  nobody           zeros
END
)" "$(LD_LIBRARY_PATH=$library ./example overlay.qcow2)" "output of docs/example.c"

assert_fails_with 'missing.qcow2' env LD_LIBRARY_PATH="$library" ./example missing.qcow2

# The page shows the program that was just built.
[[ $(<"$SRCDIR/docs/libstrata.pod") == *"$(sed 's/^./ &/' "$SRCDIR/docs/example.c")"* ]] ||
    fail "the program in docs/libstrata.pod is not docs/example.c"

for page in man1/strata.1 man1/nbdkit-strata-plugin.1 man3/libstrata.3 man7/strata-contexts.7 \
    man7/strata-security.7 man8/strata-nbd.8; do
    [[ -s $(find "$tmp/root" -path "*/$page") ]] || fail "$page is not installed"
done
