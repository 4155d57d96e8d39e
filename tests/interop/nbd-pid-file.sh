#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-pid-file.sh - the pid file is locked and written in place; nothing else is ever replaced.
source "$(dirname "$0")/../functions.sh"
require_tool setpriv
make_seed_images
image=$tmp/overlay.qcow2
pid=$tmp/pid

# refused REGEX PATH: and no socket appears
refused()
{
    assert_fails_with "cannot write the pid file '$2': $1" \
        timeout 20 "$STRATA_NBD" -k "$tmp/refused" --pid-file "$2" "$image"
    [[ ! -e $tmp/refused ]] || fail "a socket is left behind: $2"
}

# What is no pid file stays what it is.
before=$(sha256sum "$tmp/base.qcow2")
cp "$tmp/base.qcow2" "$tmp/other.qcow2"
refused 'it exists and holds something else than a process ID; choose' "$tmp/other.qcow2"
assert_fails_with "--pid-file names '$tmp/base.qcow2', which is served; choose another path" \
    timeout 20 "$STRATA_NBD" -k "$tmp/refused" --pid-file "$tmp/base.qcow2" "$image"
assert_eq "$before" "$(sha256sum "$tmp/base.qcow2")" "the image at the path of the pid file"
for text in 'precious' '12 34' '-5' $'\n' "$(printf '1%.0s' {1..40})"; do
    printf '%s' "$text" >"$pid"
    refused 'it exists and holds something else' "$pid"
    assert_eq "$text." "$(cat "$pid"; echo .)" "the file in the way"
done
printf '12\0' >"$pid"
refused 'it exists and holds something else' "$pid"
rm "$pid"
mkfifo "$tmp/fifo"
refused 'it exists and is not a regular file; choose' "$tmp/fifo"
refused 'it exists and is not a regular file; choose' /dev/null
refused 'it exists and is not a regular file; choose' "$tmp"
refused 'No such file' "$tmp/no/pid"

# The file appears when the server is ready, and belongs to it alone.
start_process "$STRATA_NBD" -k "$tmp/s" --pid-file "$pid" "$image"
wait_until "the pid file" test -e "$pid"
wait_for_pid_file "$pid"
assert_eq "$server_pid" "$(cat "$pid")" "the process ID"
refused "another server that runs as process $server_pid uses it; stop" "$pid"
assert_eq "$server_pid" "$(cat "$pid")" "the process ID after another server tried"
assert_fails_with . timeout 20 qemu-nbd -r -k "$tmp/q" --pid-file="$pid" -f raw "$tmp/base.qcow2"
stop_process "$server_pid"
[[ ! -e $pid ]] || fail "the pid file is left behind"

# A file that took its place is not ours.
start_strata_nbd "$tmp/s" "$image"
mv "$tmp/s.pid" "$tmp/moved"
cp "$tmp/moved" "$tmp/s.pid"
stop_process "$server_pid"
[[ -e $tmp/s.pid && -e $tmp/moved ]] || fail "the pid file of another was removed"

# A server that ends before it is ready leaves an old file as it was.
echo 7 >"$pid"
assert_fails_with missing "$STRATA_NBD" -k "$tmp/s" --pid-file "$pid" "$tmp/missing"
assert_eq 7 "$(cat "$pid")" "an old pid file after a failed start"

# An image that is empty is an image all the same.
: >"$tmp/empty.raw"
assert_fails_with 'which is served' \
    timeout 20 "$STRATA_NBD" -k "$tmp/s" --pid-file "$tmp/empty.raw" "$tmp/empty.raw"
[[ -e $tmp/empty.raw ]] || fail "the image was removed"

# A symbolic link stays, and what it leads to names nobody any more.
: >"$tmp/real"
ln -s real "$tmp/link"
start_process "$STRATA_NBD" -k "$tmp/s" --pid-file "$tmp/link" "$image"
wait_for_pid_file "$tmp/link"
stop_process "$server_pid"
[[ -L $tmp/link ]] || fail "the link was removed"
assert_eq '' "$(cat "$tmp/real")" "what a link leads to, after the end"

# The directory need not be writable, as long as the file is there.
mkdir "$tmp/locked"
: >"$tmp/locked/pid"
chmod 555 "$tmp/locked"
modestly=()
[[ $(id -u) -ne 0 ]] || modestly=(setpriv --bounding-set=-dac_override)
start_process "${modestly[@]}" "$STRATA_NBD" -k "$tmp/s" --pid-file "$tmp/locked/pid" "$image"
wait_for_pid_file "$tmp/locked/pid"
assert_eq "$server_pid" "$(cat "$tmp/locked/pid")" "the process ID, written in place"
stop_process "$server_pid"
assert_eq '' "$(cat "$tmp/locked/pid")" "what is left in a file that cannot be removed"
assert_fails_with "cannot write the pid file '$tmp/locked/new': Permission denied" \
    timeout 20 "${modestly[@]}" "$STRATA_NBD" -k "$tmp/s" --pid-file "$tmp/locked/new" "$image"
chmod 755 "$tmp/locked"
