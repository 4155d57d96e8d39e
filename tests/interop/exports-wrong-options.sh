#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# exports-wrong-options.sh - each wrong use of the options about exports gets one clear line.
source "$(dirname "$0")/../functions.sh"
image=$tmp/disk.raw
mkdir "$tmp/dir"
truncate -s 1M "$image"
printf '[vm]\nimage = disk.raw\n' >"$tmp/exports.conf"

# refused REGEX ARG...
refused()
{
    local regex=$1 status=0 output
    shift

    output=$(timeout 20 "$STRATA_NBD" -k "$tmp/s" "$@" 2>&1 >/dev/null </dev/null) || status=$?
    assert_eq 1 "$status" "status of strata-nbd $*"
    assert_eq 1 "$(wc -l <<<"$output")" "lines of '$output'"
    [[ $output =~ ^strata-nbd:\ $regex ]] || fail "says '$output', not '$regex': $*"
    [[ ! -e $tmp/s ]] || fail "there is a socket after: $*"
}

refused '--config needs a file .*--help' --config '' "$image"
refused 'cannot read the configuration: .*nowhere' --config "$tmp/nowhere" "$image"
refused 'cannot read the configuration: .*dir' --config "$tmp/dir"
refused '--directory needs a directory .*--help' --directory '' "$image"
refused "cannot open '.*/nowhere' as a directory of images: No such" --directory "$tmp/nowhere"
refused '--access needs an access rule, .*--help' --access= "$image"
refused "--access: there is no access rule 'all'; there are any, tls, dn=" --access all "$image"
refused "--access: access rule 'net=10.1/8': net= needs" --access net=10.1/8 "$image"
refused "--access: access rule 'user=no-such-user': .*there is no user 'no-such-user'" \
    --access any --access user=no-such-user --directory "$tmp/dir"

refused "--access: access rule 'net=::1;user=0': with 'user=0' another rule begins in it; " \
    --access 'net=::1;user=0' "$image"
refused "--access: access rule 'net=::1,127.0.0.1': .*; where there are several, each is a rule" \
    --access net=::1,127.0.0.1 "$image"

# Rules that nobody can meet, and configurations that serve nothing.
refused "--access: the rule 'dn=CN=a,O=b' needs --tls-verify-peer: .*--help" \
    --access any --access dn=CN=a,O=b "$image"
refused "--access: the rule 'psk=a' needs --tls-psk: .*--help" --access psk=a "$image"
refused "--access: the rule 'tls' needs --tls-certificates or --tls-psk: .*--help" --access tls "$image"
printf '[DEFAULT]\nformat = raw\n' >"$tmp/empty.conf"
refused '.*/empty.conf: there is no export in it: ' --config "$tmp/empty.conf"
printf '[vm]\nimage = disk.raw\nbitmaps = none;all\n' >"$tmp/bitmaps.conf"
refused ".*/bitmaps.conf: \[vm\], bitmaps: 'none' stands alone" --config "$tmp/bitmaps.conf"

# What says how to open an image needs one on the command line.
for option in --format=raw --allow=/ --allow-protocols=nbd --backing-format=raw --probe \
    --force-share --metadata-cache=1M --object=secret,id=a --access=any; do
    refused "${option%%=*} is about an IMAGE or a --directory on the command line, and there is none" \
        "$option" --config "$tmp/exports.conf"
done
for option in --load-snapshot=a --bitmap=a --description=a --image-opts; do
    refused "${option%%=*} is about an IMAGE on the command line, and there is none" \
        "$option" --config "$tmp/exports.conf"
done
refused '--bitmap is about an IMAGE on the command line, and there is none' \
    -B a --directory "$tmp/dir"
refused '.*there are two exports of the name "vm"' -x vm --config "$tmp/exports.conf" "$image"
refused ".*--pid-file names '.*/disk.raw', which is served" --config "$tmp/exports.conf" \
    --pid-file "$image"
