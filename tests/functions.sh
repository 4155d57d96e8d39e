# SPDX-License-Identifier: LGPL-2.1-or-later
# functions.sh - what shell tests share: a private folder, cleanup, servers, maps, assertions.
# shellcheck shell=bash
#
# A test begins with:   source "$(dirname "$0")/../functions.sh"
# and then has $tmp, its own folder. Whatever ends the test, everything that it started is killed
# and waited for, and $tmp is removed. KEEP=1 in the environment keeps $tmp and says where it is.

set -euo pipefail

SRCDIR=${SRCDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
BUILDDIR=${BUILDDIR:-$SRCDIR/.build/gcc}
STRATA_NBD=${STRATA_NBD:-$BUILDDIR/server/strata-nbd}
STRATA=${STRATA:-$BUILDDIR/tools/strata}
STRATA_PLUGIN=${STRATA_PLUGIN:-$BUILDDIR/plugins/nbdkit-strata-plugin.so}
export SRCDIR BUILDDIR STRATA_NBD STRATA STRATA_PLUGIN
# wrappers/ stands in builds with sanitizers only: see tests/run.
export LC_ALL=C PATH="$BUILDDIR/wrappers:/usr/bin:/bin:$PATH"

# Short, because the path of a Unix socket has at most 107 bytes.
tmp=$(mktemp -d /tmp/st.XXXXXX)
cleanup_hooks=()
started_pids=()
server_pid=

# cleanup_fn CMD [ARG]...: runs CMD when the test ends, the last one registered first.
cleanup_fn()
{
    cleanup_hooks+=("$(printf '%q ' "$@")")
}

run_cleanup()
{
    local status=$? i

    trap - EXIT INT TERM HUP
    set +e
    for ((i = ${#cleanup_hooks[@]} - 1; i >= 0; i--)); do
        eval "${cleanup_hooks[i]}"
    done
    for i in "${started_pids[@]}"; do
        stop_process "$i"
    done
    if [[ -n ${KEEP:-} ]]; then
        echo "kept: $tmp" >&2
    else
        rm -rf "$tmp"
    fi
    exit "$status"
}
trap run_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

fail()
{
    echo "FAIL: $*" >&2
    exit 1
}

# require_tool NAME...: a test that cannot run has not passed, so a missing tool is a failure.
require_tool()
{
    local tool

    for tool; do
        command -v "$tool" >/dev/null ||
            fail "$tool is not installed; tests/run installs everything that the tests need"
    done
}

# wait_until WHAT CMD...: tries CMD until it succeeds, for at most half a minute.
wait_until()
{
    local what=$1 i
    shift

    for ((i = 0; i < 600; i++)); do
        if "$@" 2>/dev/null; then
            return 0
        fi
        sleep 0.05
    done
    fail "waited half a minute for $what"
}

process_is_gone()
{
    ! kill -0 "$1" 2>/dev/null
}

# stop_process PID: SIGTERM and wait; SIGKILL after ten seconds. Returns the exit status.
stop_process()
{
    local pid=$1 i

    kill "$pid" 2>/dev/null || true
    for ((i = 0; i < 200; i++)); do
        process_is_gone "$pid" && break
        sleep 0.05
    done
    if kill -KILL "$pid" 2>/dev/null; then
        echo "process $pid ignored SIGTERM and was killed" >&2
    fi
    wait "$pid" 2>/dev/null
}

# start_process CMD...: in the background, output in $tmp/log.N; sets $server_pid and $server_log.
start_process()
{
    server_log=$tmp/log.${#started_pids[@]}
    "$@" >"$server_log" 2>&1 </dev/null &
    server_pid=$!
    started_pids+=("$server_pid")
}

is_ready_or_gone()
{
    [[ -s $1 ]] || process_is_gone "$server_pid"
}

# wait_for_pid_file FILE: servers write it once they can be connected to.
wait_for_pid_file()
{
    wait_until "the pid file of process $server_pid" is_ready_or_gone "$1"
    if [[ ! -s $1 ]]; then
        cat "$server_log" >&2
        fail "the server ended before it could be connected to"
    fi
}

# start_strata_nbd SOCK ARG...: strata-nbd on that socket, connectable on return.
start_strata_nbd()
{
    local socket=$1
    shift

    start_process "$STRATA_NBD" --socket "$socket" --pid-file "$socket.pid" "$@"
    wait_for_pid_file "$socket.pid"
}

# start_qemu_nbd SOCK ARG...: the same with qemu-nbd, read-only, telling depth, for many clients.
start_qemu_nbd()
{
    local socket=$1
    shift

    start_process qemu-nbd --socket="$socket" --pid-file="$socket.pid" --persistent --shared=0 \
        --read-only --allocation-depth "$@"
    wait_for_pid_file "$socket.pid"
}

# start_nbdkit SOCK ARG...: nbdkit on that socket; our plugin is "$STRATA_PLUGIN".
start_nbdkit()
{
    local socket=$1
    shift

    start_process nbdkit --foreground --unix "$socket" --pidfile "$socket.pid" "$@"
    wait_for_pid_file "$socket.pid"
}

# nbd_uri SOCK [EXPORT]
nbd_uri()
{
    echo "nbd+unix:///${2:-}?socket=$1"
}

# assert_eq EXPECTED ACTUAL WHAT
assert_eq()
{
    if [[ $1 != "$2" ]]; then
        diff -u --label expected --label actual <(echo "$1") <(echo "$2") >&2 || true
        fail "$3: expected and actual differ"
    fi
}

# assert_fails_with REGEX CMD...: CMD says no by itself (no signal, no sanitizer), and stderr
# matches REGEX.
assert_fails_with()
{
    local regex=$1 status=0 output
    shift

    output=$("$@" 2>&1 >/dev/null </dev/null) || status=$?
    [[ $status -ne 0 ]] || fail "succeeded but should have failed: $*"
    [[ $status -lt 99 ]] || fail "ended with status $status: $*: $output"
    [[ $output =~ $regex ]] || fail "says '$output', which does not match '$regex': $*"
}

# merge_extents: "offset length value ..." lines to the same map in as few lines as possible.
merge_extents()
{
    local offset length value rest start='' end=0 last=''

    while read -r offset length value rest; do
        if [[ -n $start && $offset -eq $end && $value == "$last" ]]; then
            end=$((end + length))
            continue
        fi
        [[ -z $start ]] || echo "$start $((end - start)) $last"
        start=$offset end=$((offset + length)) last=$value
    done
    [[ -z $start ]] || echo "$start $((end - start)) $last"
}

# map_of URI CONTEXT: prints merged "offset length value" lines.
map_of()
{
    local extents

    extents=$(nbdinfo --map="$2" "$1")
    merge_extents <<<"$extents"
}

# assert_map URI CONTEXT: the expected "offset length value" lines are standard input; offsets and
# lengths may be written with a suffix K or M, and text after '#' is a comment.
assert_map()
{
    local expected offset length value

    expected=$(sed -e 's/#.*//' | while read -r offset length value; do
        [[ -z $offset ]] ||
            echo "$(numfmt --from=iec "$offset") $(numfmt --from=iec "$length") $value"
    done)
    assert_eq "$expected" "$(map_of "$1" "$2")" "$2 of $1"
}

# create_encrypted KEYFILE OPTIONS FILE SIZE: qemu-img create with the secret sec0. QEMU times its key
# derivation, and gives up where the processor's clock is too coarse for that: then it is tried again.
create_encrypted()
{
    local key=$1 options=$2 file=$3 size=$4 i

    for ((i = 0; i < 100; i++)); do
        rm -f "$file"
        if qemu-img create -q --object "secret,id=sec0,file=$key" $options "$file" "$size" \
            2>"$tmp/create.log"; then
            return 0
        fi
        grep -q 'accurate CPU usage' "$tmp/create.log" || break
    done
    cat "$tmp/create.log" >&2
    fail "qemu-img create $options"
}

# make_seed_images [DIR]: the images of the seed graph, 10 MiB, in DIR (default $tmp):
#   base.qcow2      0-1 MiB bytes 0x11
#   overlay.qcow2   2-3 MiB bytes 0x22, 4-5 MiB zero clusters, over base.qcow2
make_seed_images()
{
    local dir=${1:-$tmp}

    qemu-img create -q -f qcow2 "$dir/base.qcow2" 10M
    qemu-io -f qcow2 -c 'write -q -P 0x11 0 1M' "$dir/base.qcow2"
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$dir/overlay.qcow2"
    qemu-io -f qcow2 -c 'write -q -P 0x22 2M 1M' -c 'write -q -z 4M 1M' "$dir/overlay.qcow2"
}

# make_seed_content FILE: the bytes that the seed graph holds, made without any image format.
make_seed_content()
{
    truncate -s 10M "$1"
    head -c 1M /dev/zero | tr '\0' '\021' | dd of="$1" bs=1M seek=0 conv=notrunc status=none
    head -c 1M /dev/zero | tr '\0' '\042' | dd of="$1" bs=1M seek=2 conv=notrunc status=none
}
