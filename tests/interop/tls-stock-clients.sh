#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-stock-clients.sh - certificates with the clients that people have: libnbd's and QEMU's programs,
# and strata itself; who does not trust the server, or does not want TLS, gets nothing.
source "$(dirname "$0")/../functions.sh"
source "$(dirname "$0")/tls_case.sh"
require_tool certtool nbdinfo nbdcopy nbdsh qemu-img qemu-io

make_seed_images
make_seed_content "$tmp/flat.raw"
make_pki "$tmp/pki" server client
make_pki "$tmp/other" server client
image=$tmp/overlay.qcow2
sock=$tmp/s
creds=tls-creds-x509,id=t0,endpoint=client,dir=$tmp/pki

# Over TCP, where the server proves the name that was asked for.
start_strata_nbd_tcp --tls=require --tls-certificates="$tmp/pki" --tls-verify-peer "$image"
uri="nbds://localhost:$port/?tls-certificates=$tmp/pki"
assert_eq 10485760 "$(nbdinfo --size "$uri")" "nbdinfo --size"
nbdcopy "$uri" "$tmp/copy.raw"
cmp "$tmp/copy.raw" "$tmp/flat.raw" || fail "nbdcopy's copy differs"
assert_map "$uri" qemu:allocation-depth <<'EOF'
0  1M 2
1M 1M 0
2M 1M 1
3M 1M 0
4M 1M 1
5M 5M 0
EOF
nbdsh -c "h.set_uri_allow_local_file(True); h.connect_uri('$uri')" -c 'assert h.get_tls_negotiated(); assert h.pread(3, 2 << 20) == b"\x22" * 3'
qemu-img convert --object "$creds" --image-opts -O raw \
    "driver=nbd,host=localhost,port=$port,tls-creds=t0" "$tmp/qemu.raw"
cmp "$tmp/qemu.raw" "$tmp/flat.raw" || fail "qemu-img's copy differs"
qemu-io -r --object "$creds" --image-opts -c 'read -P 0x11 0 1M' -c 'read -P 0x22 2M 1M' \
    -c 'read -P 0 4M 6M' "driver=nbd,host=localhost,port=$port,tls-creds=t0" >"$tmp/out"
! grep -i 'fail' "$tmp/out" || fail "qemu-io: $(cat "$tmp/out")"
assert_eq 2 "$("$STRATA" map --json --object "tls-creds-x509,id=c0,dir=$tmp/pki" --image-opts \
    "driver=raw,file.driver=nbd,file.host=localhost,file.port=$port,file.tls-creds=c0" |
    jq '[.[] | .depth] | max')" "the depth that strata map finds behind TLS"

assert_fails_with '[Cc]ertificate' nbdinfo --size "nbds://localhost:$port/?tls-certificates=$tmp/other"
assert_fails_with '[Cc]ertificate|127.0.0.1' nbdinfo --size "nbds://127.0.0.1:$port/?tls-certificates=$tmp/pki"
assert_fails_with 'TLS' nbdinfo --size "nbd://localhost:$port/"
assert_fails_with 'not supported' nbdinfo --list "nbd://localhost:$port/"
assert_fails_with 'TLS' qemu-img info "nbd://localhost:$port/"
stop_process "$server_pid" || fail "the server ended badly"

# A graph over two servers of our own, each with TLS.
start_strata_nbd "$sock" --tls=require --tls-certificates="$tmp/pki" "$image"
"$STRATA_NBD" --tls=require --tls-certificates="$tmp/pki" --object "tls-creds-x509,id=c0,dir=$tmp/pki,verify-peer=off" \
    --run 'nbdcopy "$uri" '"$tmp/twice.raw" "nbds+unix:///?socket=$sock&tls-creds=c0"
cmp "$tmp/twice.raw" "$tmp/flat.raw" || fail "a copy through two servers differs"
stop_process "$server_pid" || fail "the server ended badly"

# --tls=on serves both; --tls=off neither reads certificates nor offers TLS.
for mode in '' --tls=on; do
    out=$("$STRATA_NBD" $mode --tls-certificates="$tmp/pki" --run '
        echo "$uri"
        nbdinfo --size "$uri"
        nbdinfo --size "nbds+unix:///?socket=$unixsocket&tls-certificates='"$tmp/pki"'"' "$image")
    assert_eq 2 "$(grep -cx 10485760 <<<"$out")" "sizes that clients with and without TLS see"
    [[ $out == nbd+unix:* ]] || fail "the URI with --tls=on is $out"
done
assert_eq 10485760 "$("$STRATA_NBD" --tls=off --tls-certificates=/nonexistent \
    --run 'nbdinfo --size "$uri"' "$image")" "--tls=off"

# What --run tells works as it is, from any directory and with a name that needs escapes.
mkdir "$tmp/a b&c"
cp "$tmp/pki"/*.pem "$tmp/a b&c"
out=$(cd "$tmp" && "$STRATA_NBD" -x 'd k' --tls=require --tls-certificates='a b&c' \
    --run 'echo "$uri"; cd / && nbdinfo --size "$uri"' "$image")
[[ $out == "nbds+unix:///d%20k?socket="*"&tls-certificates=$tmp/a%20b%26c"$'\n'10485760 ]] ||
    fail "--run says $out"

# A kernel that can encrypt does so when the system's configuration says it; any other is not needed.
printf '[global]\nktls = true\n' >"$tmp/gnutls.conf"
export GNUTLS_SYSTEM_PRIORITY_FILE=$tmp/gnutls.conf
start_strata_nbd_tcp -v --tls=require --tls-certificates="$tmp/pki" "$image"
unset GNUTLS_SYSTEM_PRIORITY_FILE
nbdcopy "nbds://localhost:$port/?tls-certificates=$tmp/pki" "$tmp/kernel.raw"
cmp "$tmp/kernel.raw" "$tmp/flat.raw" || fail "the copy with kernel TLS differs"
wait_until "a word about kernel TLS in the log" \
    grep -qE 'TLS: TLS1.3, .*, kernel TLS: (yes|no|for sending|for receiving)' "$server_log"
