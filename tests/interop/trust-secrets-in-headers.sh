#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-secrets-in-headers.sh - a header may name by its ID a key that the user lends, as QEMU's own
# do for encrypted backing files; it gets no other, and no key stands on a command line.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
printf 'open sesame' >key
printf 'wrong' >wrong
luks='-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10'
create_encrypted key "$luks" base.qcow2 1M
qemu-io --object secret,id=sec0,file=key -c 'write -q -P 0x61 0 64k' \
    --image-opts driver=qcow2,file.filename=base.qcow2,encrypt.key-secret=sec0
backing='json:{"driver":"qcow2","encrypt":{"key-secret":"sec0"},"file":{"driver":"file","filename":"base.qcow2"}}'
qemu-img create -q -u -f qcow2 -b "$backing" -F qcow2 overlay.qcow2 1M

lend=secret,id=sec0,file=key
map=$("$STRATA" map --object "$lend" overlay.qcow2 | awk 'NR > 1 { print $1, $2, $3, $4, $5 }')
assert_eq "0 65536 data,encrypted 2 base.qcow2
65536 983040 zero 0 -" "$map" "map of an overlay over an encrypted image"

# The content is QEMU's.
qemu-img convert --object "$lend" -f qcow2 -O raw overlay.qcow2 expected
# shellcheck disable=SC2016 # strata-nbd and nbdkit set $uri
"$STRATA_NBD" --object "$lend" --run 'nbdcopy "$uri" served' overlay.qcow2
cmp expected served
# shellcheck disable=SC2016
nbdkit -U - "$STRATA_PLUGIN" overlay.qcow2 object="$lend" --run 'nbdcopy "$uri" plugged'
cmp expected plugged

# refused REGEX OBJECT...: by both programs. (nbdkit-image-parameters.sh has the plugin.)
refused()
{
    local regex=$1 object options=()
    shift

    for object; do
        options+=(--object "$object")
    done
    assert_fails_with "$regex" "$STRATA" map "${options[@]}" overlay.qcow2
    assert_fails_with "$regex" "$STRATA_NBD" "${options[@]}" --run true overlay.qcow2
}

refused "base.qcow2.*'?sec0'?"
refused "base.qcow2.*'?sec0'?" secret,id=other,file=key
refused 'base.qcow2.*(key|secret)' secret,id=sec0,file=wrong
refused 'data' secret,id=sec0,data='open sesame'
refused 'nothing-here.*No such file' secret,id=sec0,file=nothing-here
refused 'sec0' "$lend" "$lend"
refused 'iothread' iothread,id=sec0
