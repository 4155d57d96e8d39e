#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-wrong-options.sh - each wrong use gets one clear line, status 1, and leaves nothing behind.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2
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
misused "'--s' may mean any of --socket, --shared, --selinux-label, --snapshot" --s "$image"
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
