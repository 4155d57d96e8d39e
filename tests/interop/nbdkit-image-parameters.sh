#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-image-parameters.sh - the parameters that say how to open an image: each does what it says,
# in the foreground and in the background.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
make_seed_images
printf 'open sesame' >key
truncate -s 1M base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw noformat.qcow2
# The header's format of the backing file (extension 0xe2792aca) becomes an unknown extension.
at=$(grep -obaP '\xe2\x79\x2a\xca' noformat.qcow2 | head -n 1 | cut -d : -f 1)
printf '\x12\x34\x56\x78' | dd of=noformat.qcow2 bs=1 seek="$at" conv=notrunc status=none

serves()
{
    nbdkit -U - "$STRATA_PLUGIN" "$@" --run true || fail "does not serve with $*"
}
refuses()
{
    local regex=$1
    shift
    assert_fails_with "$regex" nbdkit -U - "$STRATA_PLUGIN" "$@" --run true
}

# probe=
refuses 'does not guess.*probe=on' noformat.qcow2
refuses 'does not guess' noformat.qcow2 probe=off
serves noformat.qcow2 probe=on
serves noformat.qcow2 backing-format=raw
refuses 'on or off' noformat.qcow2 probe=perhaps

# force-share=
start_process qemu-nbd --socket="$tmp/w" --pid-file="$tmp/w.pid" --persistent -f qcow2 overlay.qcow2
wait_for_pid_file "$tmp/w.pid"
refuses 'overlay.qcow2.*force-share=on' overlay.qcow2
serves overlay.qcow2 force-share=on
refuses 'on or off' overlay.qcow2 force-share=perhaps
stop_process "$server_pid" || true

# metadata-cache=
serves noformat.qcow2 probe=on metadata-cache=1M
refuses 'from 1M to 64G, and not 1023 bytes' noformat.qcow2 probe=on metadata-cache=1023

# object=
luks='-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10'
create_encrypted key "$luks" secret.qcow2 1M
opts=driver=qcow2,encrypt.key-secret=s,file.filename=secret.qcow2
qemu-io --object secret,id=s,file=key -c 'write -q -P 0x5a 0 1M' --image-opts "$opts"
refuses 'secret.qcow2.*s' spec="$opts"
# shellcheck disable=SC2016 # nbdkit sets $uri
nbdkit -U - "$STRATA_PLUGIN" spec="$opts" object=secret,id=s,file=key --run 'nbdcopy "$uri" copy'
head -c 1M /dev/zero | tr '\0' '\132' | cmp - copy
refuses 'data' spec="$opts" object=secret,id=s,data=x

# allow-protocols=, with a server in a header; in the background, too, where nbdkit forks between the
# opening of the image and the first client.
start_strata_nbd "$tmp/s" base.qcow2
qemu-img create -q -u -f qcow2 -b "nbd+unix:///?socket=$tmp/s" -F raw remote.qcow2 10M
refuses 'remote.qcow2.*allow-protocols=nbd' remote.qcow2
refuses 'ssh' remote.qcow2 allow-protocols=ssh
serves remote.qcow2 allow-protocols=nbd
nbdkit --unix "$tmp/n" --pidfile "$tmp/n.pid" "$STRATA_PLUGIN" remote.qcow2 allow-protocols=nbd
cleanup_fn sh -c "kill \$(cat '$tmp/n.pid')"
assert_map "$(nbd_uri "$tmp/n")" base:allocation <<'END'
0 1M 0
1M 9M 3
END

# snapshot=
qemu-img snapshot -c before overlay.qcow2
qemu-io -f qcow2 -c 'write -q 7M 1M' overlay.qcow2
# shellcheck disable=SC2016 # nbdkit sets $uri
assert_eq '0 1048576 0
1048576 1048576 3
2097152 1048576 0
3145728 7340032 3' "$(nbdkit -U - "$STRATA_PLUGIN" overlay.qcow2 snapshot=before \
    --run 'nbdinfo --map "$uri"' | awk '{ print $1, $2, $3 }')" "the image at a snapshot"
refuses "no snapshot .*'never'" overlay.qcow2 snapshot=never
refuses 'snapshot= is given twice' overlay.qcow2 snapshot=before snapshot=1
