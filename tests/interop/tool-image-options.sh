#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-image-options.sh - the options that say how to open an image: each changes what they say, with
# every verb, and none goes with a URI.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
make_seed_images
truncate -s 1M base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw noformat.qcow2
# The header's format of the backing file (extension 0xe2792aca) becomes an unknown extension.
at=$(grep -obaP '\xe2\x79\x2a\xca' noformat.qcow2 | head -n 1 | cut -d : -f 1)
printf '\x12\x34\x56\x78' | dd of=noformat.qcow2 bs=1 seek="$at" conv=notrunc status=none

# each OPTION... -- IMAGE: works with every verb.
each()
{
    local options=()

    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    "$STRATA" info "${options[@]}" "$2" >output || fail "info ${options[*]} $2"
    "$STRATA" map "${options[@]}" "$2" >output || fail "map ${options[*]} $2"
    "$STRATA" why "${options[@]}" "$2" 0 >output || fail "why ${options[*]} $2"
}

assert_fails_with 'does not guess' "$STRATA" map noformat.qcow2
each --probe -- noformat.qcow2
each --backing-format raw -- noformat.qcow2
each --backing-format raw --probe -- noformat.qcow2

each --metadata-cache 1M -- overlay.qcow2
assert_fails_with 'from 1M to 64G' "$STRATA" map --metadata-cache 65G overlay.qcow2

# A writer.
start_process qemu-nbd --socket="$tmp/w" --pid-file="$tmp/w.pid" --persistent -f qcow2 overlay.qcow2
wait_for_pid_file "$tmp/w.pid"
assert_fails_with 'overlay.qcow2.*force-share' "$STRATA" map overlay.qcow2
each --force-share -- overlay.qcow2
each -U -- overlay.qcow2
stop_process "$server_pid" || true

# A server in a header.
start_strata_nbd "$tmp/s" base.qcow2
qemu-img create -q -u -f qcow2 -b "nbd+unix:///?socket=$tmp/s" -F raw remote.qcow2 10M
assert_fails_with 'remote.qcow2.*allow-protocols nbd' "$STRATA" map remote.qcow2
each --allow-protocols nbd -- remote.qcow2
assert_fails_with "'ssh' is no protocol" "$STRATA" map --allow-protocols ssh remote.qcow2

# With a URI.
for option in --probe --force-share -U '--allow .' '--allow-protocols nbd' '--backing-format raw' \
    '--format raw' '--metadata-cache 1M' '--object secret,id=a,file=b' '--snapshot x'; do
    for verb in map info; do
        # shellcheck disable=SC2086 # these are words
        assert_fails_with 'has no meaning for an NBD URI' \
            "$STRATA" "$verb" $option "$(nbd_uri "$tmp/s")"
    done
done
