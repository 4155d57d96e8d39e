#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-wrong-options.sh - each wrong use gets one clear line, status 1, and leaves nothing behind.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2
qemu-img bitmap --add "$image" monday
qemu-img snapshot -c first "$image"
echo key >"$tmp/key"
sock=$tmp/s
before=$(ls -A "$tmp")

# refused REGEX ARG...
refused()
{
    local regex=$1 status=0 output
    shift

    output=$(timeout 20 "$STRATA_NBD" "$@" 2>&1 >/dev/null </dev/null) || status=$?
    assert_eq 1 "$status" "status of strata-nbd $*"
    assert_eq 1 "$(wc -l <<<"$output")" "lines of '$output'"
    [[ $output =~ ^strata-nbd:\ $regex ]] || fail "says '$output', not '$regex': $*"
    assert_eq "$before" "$(ls -A "$tmp")" "files after strata-nbd $*"
}

# misused REGEX ARG...: the line ends with where to read on
misused()
{
    local regex=$1
    shift

    refused "$regex.*"\ '\(see strata-nbd --help\)$' "$@"
}

misused 'no image was given'
misused "there is one image too many: 'b'" "$image" b
misused 'there is no option --bogus' --bogus "$image"
misused 'there is no option -Z' -k "$sock" -tZ "$image"
misused 'there is no option -\\xff' -k "$sock" $'-\xff' "$image"
misused "'--s' may mean any of --socket, .*, --shared, .*--selinux-label, --snapshot" --s "$image"
misused "--persistent takes no value, but there is one: '--pers=yes'" --pers=yes "$image"
misused '--socket does not go with --bind or --port' -k "$sock" -p 1 "$image"
for number in -2 -1 2147483648 99999999999999999999 many '' 2x; do
    misused "--shared takes a number of clients from 0 to 2147483647, not '$number'" \
        -k "$sock" -e "$number" "$image"
done
for port in 70000 65536 -1 -2 +80 ' 80' 80x nonsense 99999999999999999999; do
    misused "'${port/+/\\+}' is no port: expected a number from 0 to 65535 or the name of a service" \
        -b 127.0.0.1 -p "$port" "$image"
done
misused '--port needs a number from 0 to 65535 or the name of a service' -p '' "$image"
misused '--bind needs an address or a name of this machine' -b '' -p 0 "$image"
misused 'the address to listen on is empty' -b '[]' -p 0 "$image"
misused '--socket needs a path' -k '' "$image"
misused '--socket needs a path' "$image" -k
misused '--pid-file needs a path' "$image" --pid-file
misused '--pid-file needs a path' -k "$sock" --pid-file= "$image"
misused '--allow needs a directory' -k "$sock" --allow '' "$image"
misused 'cannot listen on no.such.host.invalid, port 0: ' -b no.such.host.invalid -p 0 "$image"
refused 'cannot listen on 192.0.2.1, port 0: .*; choose an address that this machine has$' \
    -b 192.0.2.1 -p 0 "$image"
misused 'the export name is not UTF-8' -k "$sock" -x $'\xff' "$image"
misused 'the export name is 5000 bytes long' -k "$sock" -x "$(printf 'x%.0s' {1..5000})" "$image"
misused 'the description is 5000 bytes long' -k "$sock" -D "$(printf 'x%.0s' {1..5000})" "$image"
refused "cannot write the pid file '$tmp/no/pid'" -k "$sock" --pid-file "$tmp/no/pid" "$image"
refused ".*there is no format 'vmdk'" -k "$sock" -f vmdk "$image"
refused ".*$tmp/missing" -k "$sock" "$tmp/missing"
refused ".*$tmp/no" -k "$sock" --allow "$tmp/no" "$image"
refused '.*nonsense' -k "$sock" --backing-format nonsense "$image"
misused '--format does not go with --image-opts' -k "$sock" -f raw --image-opts driver=raw
TMPDIR=$tmp/no refused "cannot make a directory '$tmp/no/.*TMPDIR chooses where" --run true "$image"
long=$tmp/$(printf 'x%.0s' {1..90})
TMPDIR=$long refused "the private socket in '$long/.*107 bytes.*; set TMPDIR to" --run true "$image"
misused '--object needs an object, as in secret,id=ID,file=PATH' -k "$sock" --object '' "$image"
refused '.*it needs an "id"' -k "$sock" --object "secret,file=$tmp/key" "$image"
refused '.*"data" is refused' -k "$sock" --object secret,id=k,data=sesame "$image"
refused ".*$tmp/missing" -k "$sock" --object "secret,id=k,file=$tmp/missing" "$image"
misused '--allow-protocols needs protocols, as in nbd' -k "$sock" --allow-protocols= "$image"
refused "'gopher' is no protocol" -k "$sock" --allow-protocols nbd,gopher "$image"
misused "--probe takes no value, but there is one: '--probe=on'" -k "$sock" --probe=on "$image"
misused "--force-share takes no value, but there is one: '--force-share=on'" \
    -k "$sock" --force-share=on "$image"
misused '--metadata-cache needs a number of bytes, as in 64M' -k "$sock" --metadata-cache= "$image"
refused "metadata-cache is a number of bytes, as in 64M, not 'all'" -k "$sock" --metadata-cache all "$image"
refused 'the metadata cache can have from 1M to 64G, and not 1024 bytes' \
    -k "$sock" --metadata-cache=1k "$image"
misused '--load-snapshot needs a snapshot' -k "$sock" -l '' "$image"
misused "--load-snapshot takes snapshot.id=ID, snapshot.name=NAME or both, not 'snapshot.date=1'" \
    -k "$sock" -l snapshot.id=1,snapshot.date=1 "$image"
for word in snapshot. snapshot.id snapshot.id= 'snapshot.name=,'; do
    misused '--load-snapshot takes snapshot.id=ID' -k "$sock" -l "$word" "$image"
done
there="is no snapshot of the topmost image, the node 'overlay.qcow2' \(qcow2\); snapshots there: 'first'$"
for word in second snapshot.id=2 snapshot.name=1 snapshot.id=1,snapshot.name=second; do
    refused "--load-snapshot: '$word' $there" -k "$sock" -l "$word" "$image"
done
refused "--load-snapshot: 'first' is no snapshot of .* 'base.qcow2' \(qcow2\); snapshots there: none$" \
    -k "$sock" -l first "$tmp/base.qcow2"
misused '--bitmap needs the name of a bitmap' -k "$sock" -B '' "$image"
refused "--bitmap: the image has no bitmap 'tuesday'; bitmaps there: 'monday'$" \
    -k "$sock" -B monday -B tuesday "$image"
refused "--bitmap: the image has no bitmap 'monday'; bitmaps there: none$" \
    -k "$sock" --bitmap monday "$tmp/base.qcow2"
refused "--bitmap: the image has no bitmap 'monday'; bitmaps there: none$" \
    -k "$sock" --bitmap monday -l first "$image"
