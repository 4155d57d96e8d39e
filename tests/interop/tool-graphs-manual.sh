#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-graphs-manual.sh - what strata-graphs(7) shows works, and what it lists is what there is.
source "$(dirname "$0")/../functions.sh"

page=$SRCDIR/docs/strata-graphs.pod
cd "$tmp"
make_seed_images
mkdir other
cp base.qcow2 other/
qemu-img create -q -f raw base.raw 10M
# The header's format of the backing file (extension 0xe2792aca) becomes an unknown extension.
qemu-img create -q -f qcow2 -b base.raw -F raw noformat.qcow2
at=$(grep -obaP '\xe2\x79\x2a\xca' noformat.qcow2 | head -n 1 | cut -d : -f 1)
printf '\x12\x34\x56\x78' | dd of=noformat.qcow2 bs=1 seek="$at" conv=notrunc status=none
truncate -s 1M disk.raw
cat base.qcow2 >>disk.raw
qemu-img snapshot -c before-upgrade overlay.qcow2
printf 'open sesame' >overlay.key
printf 'open wheat' >base.key
luks='-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10'
create_encrypted overlay.key "$luks" encrypted.qcow2 10M
create_encrypted base.key '-f luks -o key-secret=sec0,iter-time=10' base.luks 10M
start_strata_nbd "$tmp/nbd.sock" base.qcow2

# Every command of the page; a line that goes on ends within quotes.
strata()
{
    "$STRATA" "$@" >"$tmp/output" || fail "this does not work: strata $*"
    n_run=$((n_run + 1))
}
n_run=0
# shellcheck disable=SC1090
source <(sed -n "/^ strata /,/^\$/p" "$page")
[[ $n_run -ge 14 ]] || fail "only $n_run commands were found in the page"
assert_fails_with 'does not say which format' "$STRATA" info noformat.qcow2

# keys_in_page ITEM: the keys that the page lists as accepted without effect.
keys_in_page()
{
    sed -n '/^=head1 KEYS WITHOUT EFFECT/,/^=head1 WHAT/p' "$page" |
        sed -n "/^=item $1\$/,/^=\(item\|back\)/{/^=/d;p}" | grep -oP '(?<=C<)[^>]+' | LC_ALL=C sort
}

# keys_in_source FILE ARRAY
keys_in_source()
{
    sed -n "/ $2\[\] = {/,/};/p" "$SRCDIR/lib/$1" | grep -oP '"\K[a-z0-9.-]+(?=")' | LC_ALL=C sort
}

assert_eq "$(keys_in_source spec-check.c generic_ignored_options)" "$(keys_in_page 'every node')" \
    "keys without effect of every node"
assert_eq "$(keys_in_source driver-file.c file_ignored_options)" "$(keys_in_page file)" \
    "keys without effect of the driver file"
assert_eq "$(keys_in_source nbd/target.c remote_target_ignored_options)" "$(keys_in_page nbd)" \
    "keys without effect of the driver nbd"
assert_eq "$(keys_in_source qcow2/qcow2.c ignored_options)" "$(keys_in_page qcow2)" \
    "keys without effect of the driver qcow2"

opts=driver=qcow2,file.filename=base.qcow2
for key in $(keys_in_page 'every node') $(keys_in_page qcow2); do
    "$STRATA" info --image-opts "$opts,$key=on" >output || fail "the key $key is refused"
done
for key in $(keys_in_page 'every node') $(keys_in_page file); do
    "$STRATA" info --image-opts "$opts,file.$key=on" >output || fail "the key file.$key is refused"
done
