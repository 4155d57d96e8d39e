#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-tcp.sh - --port 0 takes a free port and tells it; a busy port is refused.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2

# serve_on ARG...: sets $uri to what the server says.
serve_on()
{
    start_process "$STRATA_NBD" --pid-file "$tmp/pid" "$@" "$image"
    wait_for_pid_file "$tmp/pid"
    wait_until "the address" grep -q 'listening on' "$server_log"
    uri=$(sed -n 's/^listening on //p' "$server_log")
}

serve_on -b 127.0.0.1 -p 0 -x disk
[[ $uri =~ ^nbd://127\.0\.0\.1:([0-9]+)/disk$ ]] || fail "the URI is '$uri'"
port=${BASH_REMATCH[1]}
assert_eq 10485760 "$(nbdinfo --size "$uri")" "size over TCP"
assert_fails_with "cannot listen on 127.0.0.1, port $port: Address already in use" \
    "$STRATA_NBD" -b 127.0.0.1 -p "$port" "$image"
stop_process "$server_pid"

# A low port, without the right to take it.
modestly=()
[[ $(id -u) -ne 0 ]] || modestly=(setpriv --bounding-set=-net_bind_service)
if [[ $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start) -gt 1 ]]; then
    assert_fails_with "cannot listen on 127.0.0.1, port 1: Permission denied; only privileged users" \
        timeout 20 "${modestly[@]}" "$STRATA_NBD" -b 127.0.0.1 -p 1 "$image"
fi

# An IPv6 address may stand in the brackets of URIs.
if [[ -e /proc/net/if_inet6 ]] && grep -q ' lo$' /proc/net/if_inet6; then
    serve_on -b '[::1]' -p 0
    [[ $uri == "nbd://[::1]:"* ]] || fail "the URI is '$uri'"
    assert_eq 10485760 "$(nbdinfo --size "$uri")" "size at [::1]"
    stop_process "$server_pid"
fi

serve_on -p 0
[[ $uri =~ ^nbd://localhost:([0-9]+)/$ ]] || fail "the URI is '$uri'"
port=${BASH_REMATCH[1]}
assert_eq 10485760 "$(nbdinfo --size "nbd://127.0.0.1:$port")" "size on every interface"
if [[ -e /proc/net/if_inet6 ]] && grep -q ' lo$' /proc/net/if_inet6; then
    assert_eq 10485760 "$(nbdinfo --size "nbd://[::1]:$port")" "size on every interface, IPv6"
fi
stop_process "$server_pid"
[[ ! -e $tmp/pid ]] || fail "the pid file was left behind"

# A warning, once, where everybody on the network is served; and where that is.
serve_on -p 0
advice='can be read, unencrypted, by everybody who can connect to this machine by TCP'
wait_until "the advice in the log" grep -q "$advice" "$server_log" # it comes after the address
assert_eq 1 "$(grep -c "$advice" "$server_log")" "warnings of $(cat "$server_log")"
stop_process "$server_pid"
for words in "-b 127.0.0.1" "--access any"; do
    # shellcheck disable=SC2086
    serve_on $words -p 0
    stop_process "$server_pid"
    ! grep "$advice" "$server_log" || fail "it warns of $words"
done
serve_on -v -p 0
wait_until "the word that it listens everywhere" \
    grep -q 'strata-nbd: listening on nbd://localhost:[0-9]*/ (on every interface)$' "$server_log"
stop_process "$server_pid"
