#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-options-of-qemu-nbd.sh - options are read as qemu-nbd reads them: glued, together, cut short;
# and each option of qemu-nbd is either taken or refused with what to do instead.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2
sock=$tmp/s
page=$SRCDIR/docs/strata-nbd.pod

# described ARG...: what nbdinfo says of the server with these options, which must not end by itself
described()
{
    "$STRATA_NBD" --run \
        'nbdinfo --json "$uri" | jq -r ".exports[0] | \"\(.\"export-name\") \(.description)\""' "$@"
}
assert_eq 'vm a disk' "$(described -xvm "-Da disk" -fqcow2 -k"$sock" -e2 "$image")" "glued values"
assert_eq 'vm d' "$(described -rtAxvm -Dd -tfqcow2 "$image")" "letters together"
assert_eq 'vm d' "$(described --export vm --desc=d --form qcow2 --sha 3 --pers "$image")" "cut short"
assert_eq 'two d' "$(described "$image" -x one -D d -x two)" "the last one counts, in any place"
assert_eq ' -x' "$(described -D-x -- "$image")" "a value that looks like an option"
cp "$image" "$tmp/-image"
assert_eq 10485760 "$(cd "$tmp" && "$STRATA_NBD" --run 'nbdinfo --size "$uri"' -- -image)" "a name after --"
out=$("$STRATA_NBD" -tp0 -b127.0.0.1 --run 'echo "$uri"' "$image")
[[ $out == nbd://127.0.0.1:* ]] || fail "-tp0 and -b127.0.0.1 give $out"

# Every option that qemu-nbd --help names; -P is of older versions, --tls-hostname not in its help.
differences=$(sed -n '/^=head1 DIFFERENCES/,/^=head1 EXAMPLES/p' "$page")
all=$(qemu-nbd --help | grep -E '^ +-' | grep -oE '(^ +|, )--?[A-Za-z][a-z-]*' | grep -oE -- '-.*' | sort -u)
[[ $(wc -l <<<"$all") -gt 40 ]] || fail "qemu-nbd --help was not understood: $all"
ours=$("$STRATA_NBD" --help)
for option in $all -P --partition --tls-hostname; do
    if grep -qE -- "(^ +|, )$option\b" <<<"$ours"; then
        continue
    fi
    grep -qF -- "C<$option>" <<<"$differences" || fail "$option is missing in DIFFERENCES"
    for value in '' =5; do
        [[ $option == --* || -z $value ]] || value=5
        output=$("$STRATA_NBD" "$option$value" -k "$sock" "$image" 2>&1 </dev/null) && fail "$option is taken"
        assert_eq 1 "$(wc -l <<<"$output")" "lines of '$output'"
        [[ $output =~ ^"strata-nbd: qemu-nbd's option $option"( \(--[a-z-]+\))?" is not one of strata-nbd's: ".+\ \(see\ strata-nbd\ --help\)$ ]] ||
            fail "$option is refused with '$output'"
    done
done
# And the page lists none that is taken.
for option in $(grep '^=item' <<<"$differences" | grep -oE 'C<-[^>]+' | cut -c 3-); do
    grep -qE -- "(^ +|, )$option\b" <<<"$ours" && fail "$option is in DIFFERENCES and in --help"
    assert_fails_with "qemu-nbd's option $option" "$STRATA_NBD" "$option"
done
