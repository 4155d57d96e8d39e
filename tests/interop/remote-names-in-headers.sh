#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-names-in-headers.sh - a header that names an NBD server is refused, with a word on how to
# allow it, and followed if the user allows it.
source "$(dirname "$0")/../functions.sh"

make_seed_images
start_strata_nbd "$tmp/s" -x disk "$tmp/base.qcow2"
start_qemu_nbd "$tmp/q" -f raw "$tmp/base.qcow2"

# header NAME FORMAT: an overlay whose header names that.
header()
{
    qemu-img create -q -u -f qcow2 -b "$1" -F "$2" "$tmp/top.qcow2" 10M
}

# assert_follows NODE: --allow-protocols nbd leads to the base, and nothing else does.
assert_follows()
{
    assert_fails_with 'a header may lead to an NBD server only if that is allowed: "--allow-protocols nbd"' \
        "$STRATA" info "$tmp/top.qcow2"
    assert_fails_with '"--allow-protocols nbd"' "$STRATA_NBD" --run true "$tmp/top.qcow2"
    assert_fails_with '"--allow-protocols nbd"' "$STRATA" info --allow "$tmp" "$tmp/top.qcow2"
    assert_eq "0 1048576 data 2 $1" "$("$STRATA" map --allow-protocols nbd "$tmp/top.qcow2" |
        awk 'NR == 2 { $1 = $1; print }')" "the base of $(qemu-img info -U "$tmp/top.qcow2" | grep 'backing file:')"
    # shellcheck disable=SC2016 # strata-nbd sets it
    assert_eq 10485760 "$("$STRATA_NBD" --allow-protocols nbd --run 'nbdinfo --size "$uri"' \
        "$tmp/top.qcow2")" "size by strata-nbd"
}

header "nbd+unix:///disk?socket=$tmp/s" raw
assert_follows disk/base.qcow2
header "nbd:unix:$tmp/s:exportname=disk" raw
assert_follows disk/base.qcow2
header "nbd:unix:$tmp/q" qcow2
assert_follows q
header "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"export\":\"disk\",\"server\":{\"type\":\"unix\",\"path\":\"$tmp/s\"}}}" raw
assert_follows disk/base.qcow2
header "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"nbd\",\"path\":\"$tmp/q\"}}" qcow2
assert_follows q

# The user's own word needs no permission.
assert_eq 'q' "$("$STRATA" map "json:{\"driver\":\"qcow2\",\"file.filename\":\"$tmp/top.qcow2\",
    \"backing\":{\"driver\":\"qcow2\",\"file\":{\"driver\":\"nbd\",\"path\":\"$tmp/q\"}}}" |
    awk 'NR == 2 { print $5 }')" "the base in the spec"

# Other protocols cannot be allowed, and other words are not taken for one.
header 'ssh://localhost/x' raw
assert_fails_with 'this name has another protocol' "$STRATA" info --allow-protocols nbd "$tmp/top.qcow2"
assert_fails_with "'ssh' is no protocol that can be allowed; there is nbd" \
    "$STRATA" info --allow-protocols nbd,ssh "$tmp/top.qcow2"

# An image on a server has no directory to which a name could be relative.
start_qemu_nbd "$tmp/r" -f raw "$tmp/overlay.qcow2"
assert_fails_with 'the name is relative, and the image that has it is on an NBD server' \
    "$STRATA" info --allow "$tmp" --image-opts "driver=qcow2,file.driver=nbd,file.path=$tmp/r"
assert_eq 'base.qcow2' "$("$STRATA" map --image-opts \
    "driver=qcow2,file.driver=nbd,file.path=$tmp/r,backing.file.filename=$tmp/base.qcow2" |
    awk 'NR == 2 { print $5 }')" "an overlay on a server over a base that is here"
