#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# check-format.sh - C files look as clang-format writes them, shell scripts pass shellcheck.
source "$(dirname "$0")/../functions.sh"
require_tool clang-format shellcheck

cd "$SRCDIR"
mapfile -t c_files < <(find include lib server plugins tools tests docs bench -name '*.[ch]')
clang-format --dry-run -Werror "${c_files[@]}" ||
    fail "run: clang-format -i on the files named above"

mapfile -t scripts < <(grep -lrE '^#!/bin/bash' .ci tools tests)
shellcheck --severity=warning --external-sources --source-path=SCRIPTDIR "${scripts[@]}" ||
    fail "mend what shellcheck says above"

# It can fail:
printf 'int  a ;\n' >"$tmp/bad.c"
assert_fails_with 'clang-format-violations' \
    clang-format --style=file:.clang-format --dry-run -Werror "$tmp/bad.c"
