#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-errors.sh - what is wrong with images or parameters ends nbdkit with one message, and no
# socket is left: neither nbdkit's nor that of contexts=.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit qemu-img qemu-io

make_seed_images
cd "$tmp"

# refuse REGEX PARAMETER...
refuse()
{
    local regex=$1 output
    shift

    assert_fails_with "$regex" timeout 20 nbdkit -f -U "$tmp/s" "$STRATA_PLUGIN" "$@"
    output=$(timeout 20 nbdkit -f -U "$tmp/s" "$STRATA_PLUGIN" "$@" 2>&1 >/dev/null || true)
    assert_eq 1 "$(wc -l <<<"$output")" "the number of lines in '$output'"
    [[ ! -e $tmp/s && ! -S $tmp/layers ]] || fail "a socket is left behind: $*"
}

refuse 'give one image' format=qcow2
refuse 'not both' overlay.qcow2 spec=driver=raw,file.driver=file,file.filename=x
refuse 'file= is given twice' overlay.qcow2 base.qcow2
refuse "unknown parameter 'colour'" overlay.qcow2 colour=blue
refuse 'spec=driver=' driver=raw,file.filename=overlay.qcow2
refuse 'missing.qcow2.*No such file' missing.qcow2 contexts=unix:layers
refuse 'nonsense' overlay.qcow2 format=nonsense contexts=unix:layers
refuse 'nonsense' spec=driver=nonsense,file.filename=overlay.qcow2 contexts=unix:layers
refuse . 'spec=json:{"driver":' contexts=unix:layers
refuse . overlay.qcow2 backing-format=nonsense
refuse missing overlay.qcow2 allow=missing
refuse 'neither unix:PATH nor tcp:\[HOST:\]PORT nor vsock' overlay.qcow2 contexts=layers
refuse 'needs the path' overlay.qcow2 contexts=unix:
refuse 'names no port' overlay.qcow2 contexts=tcp:localhost
for port in 65536 -1 +80 nonsense; do
    refuse "'${port/+/\\+}' is no port: expected a number from 0 to 65535 or the name of a service" \
        overlay.qcow2 contexts=tcp:127.0.0.1:$port
done
refuse 'the address to listen on is empty' overlay.qcow2 'contexts=tcp:[]:0'
refuse 'choose an address that this machine has' overlay.qcow2 contexts=tcp:192.0.2.1:0
refuse 'brackets' overlay.qcow2 contexts=tcp:::1:10809
refuse 'no/such/folder' overlay.qcow2 contexts=unix:no/such/folder/layers

mkdir elsewhere
mv base.qcow2 elsewhere
refuse 'base.qcow2' overlay.qcow2 contexts=unix:layers
qemu-img rebase -u -f qcow2 -b "$tmp/elsewhere/base.qcow2" -F qcow2 overlay.qcow2
mkdir images
mv overlay.qcow2 images
refuse 'allow' images/overlay.qcow2 contexts=unix:layers

# What stands at the path of contexts= and is no socket stays there.
mv images/overlay.qcow2 overlay.qcow2
echo precious >layers
refuse 'it exists and is not a socket; choose another path' overlay.qcow2 contexts=unix:layers
assert_eq precious "$(<layers)" "the file at the path of contexts="
rm layers

# nbdkit gives up after contexts= is listening: its own socket's path is taken.
echo taken >s.taken
assert_fails_with s.taken timeout 20 nbdkit -f -U "$tmp/s.taken" "$STRATA_PLUGIN" overlay.qcow2 \
    contexts=unix:layers
[[ ! -e layers ]] || fail "the socket of contexts= is left behind when nbdkit's own cannot be made"
