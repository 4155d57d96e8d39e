#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# help-matches-manual.sh - every option in --help is an =item of the manual page, and none is more.
source "$(dirname "$0")/../functions.sh"

# Options as --help lists them: at the beginning of an indented line.
options_in_help()
{
    "$@" --help | grep -E '^ +-' | grep -oE '(^ +|, )-(-[a-z0-9][a-z0-9-]*|[A-Za-z0-9])\b' |
        sed 's/^[ ,]*//' | sort -u
}

# Options as a page lists them: =item B<-k>, B<--socket> I<PATH>
options_in_manual()
{
    grep -E '^=item +B<-' "$1" | grep -oE 'B<-[^>]+>' | sed -E 's/B<([^>= ]+).*/\1/' | sort -u
}

compare()
{
    local page=$1 in_help
    shift

    in_help=$(options_in_help "$@")
    [[ -n $in_help ]] || fail "$* --help lists no option"
    assert_eq "$in_help" "$(options_in_manual "$page")" "options in '$* --help' and in $page"
}

compare "$SRCDIR/docs/strata-nbd.pod" "$STRATA_NBD"

# strata has a help text for each command, and one page for all of them.
commands=$("$STRATA" --help | grep -oE '^  [a-z]+' | tr -d ' ')
[[ -n $commands ]] || fail "strata --help lists no command"
all=$(
    options_in_help "$STRATA"
    for command in $commands; do
        options_in_help "$STRATA" "$command"
    done
)
assert_eq "$(sort -u <<<"$all")" "$(options_in_manual "$SRCDIR/docs/strata.pod")" \
    "options in the help of strata and in docs/strata.pod"
