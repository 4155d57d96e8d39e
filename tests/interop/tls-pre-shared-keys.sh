#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-pre-shared-keys.sh - keys instead of certificates, and both at once: who has the key of a name is
# let in by it, by libnbd and by QEMU, with TLS 1.2 and 1.3; nobody else is.
source "$(dirname "$0")/../functions.sh"
source "$(dirname "$0")/tls_case.sh"
require_tool certtool psktool nbdinfo nbdcopy qemu-img

make_seed_images
make_seed_content "$tmp/flat.raw"
make_pki "$tmp/pki" server client
mkdir "$tmp/psk" "$tmp/wrong"
keys=$tmp/psk/keys.psk
psktool -u alice -p "$keys" >/dev/null 2>&1
psktool -u bob -p "$keys" >/dev/null 2>&1
psktool -u alice -p "$tmp/wrong/keys.psk" >/dev/null 2>&1
image=$tmp/overlay.qcow2
sock=$tmp/s

# uri USER FILE
uri()
{
    echo "nbds+unix://$1@/?socket=$sock&tls-psk-file=$2"
}

assert_content()
{
    nbdcopy "$1" "$tmp/copy.raw"
    cmp "$tmp/copy.raw" "$tmp/flat.raw" || fail "the copy of $1 differs"
}

# qemu USER DIR: 0x11 where the base has it
qemu()
{
    qemu-io -r --object "tls-creds-psk,id=t0,endpoint=client,dir=$2,username=$1" --image-opts \
        -c 'read -P 0x11 0 1M' "driver=nbd,path=$sock,tls-creds=t0"
}

# says TEXT: why a handshake failed, and whose it was
says()
{
    wait_until "'$1' in the log" grep -q "connection [0-9]* from .*: the TLS handshake failed: $1" "$server_log"
}

# check_clients: alice and bob with their keys, and nobody else
check_clients()
{
    assert_content "$(uri alice "$keys")"
    assert_content "$(uri bob "$keys")"
    qemu bob "$tmp/psk" >/dev/null || fail "QEMU as bob"
    assert_fails_with 'gnutls|TLS' nbdinfo --size "$(uri alice "$tmp/wrong/keys.psk")"
    sed 's/alice/carol/' "$keys" >"$tmp/wrong/carol.psk"
    assert_fails_with 'gnutls|TLS' nbdinfo --size "$(uri carol "$tmp/wrong/carol.psk")"
    assert_fails_with 'TLS|[Hh]andshake' qemu alice "$tmp/wrong"
    assert_fails_with 'TLS' nbdinfo --size "nbd+unix:///?socket=$sock"
}

start_strata_nbd "$sock" -v --tls=require --tls-psk="$keys" "$image"
check_clients
assert_fails_with 'gnutls|TLS' nbdinfo --size "nbds+unix:///?socket=$sock&tls-certificates=$tmp/pki"
says "the client's pre-shared key, or the name of it, is perhaps wrong (An illegal parameter"
says '.*or kind of credentials that both sides have (Insufficient credentials'
wait_until "TLS 1.3 and the key of bob in the log" \
    grep -q 'TLS: TLS1.3, .*, kernel TLS: [a-z ]*, key of "bob"' "$server_log"
stop_process "$server_pid" || fail "the server ended badly"

# TLS 1.2 has other cipher suites for keys.
cat >"$tmp/tls.conf" <<'EOF'
[overrides]
disabled-version = tls1.3
EOF
start_strata_nbd "$sock" -v --tls=require --tls-psk="$keys" "$image"
GNUTLS_SYSTEM_PRIORITY_FILE=$tmp/tls.conf nbdcopy "$(uri alice "$keys")" "$tmp/old.raw"
cmp "$tmp/old.raw" "$tmp/flat.raw" || fail "the copy over TLS 1.2 differs"
wait_until "TLS 1.2 and the key of alice in the log" \
    grep -q 'TLS: TLS1.2, .*PSK.*, key of "alice"' "$server_log"
stop_process "$server_pid" || fail "the server ended badly"

# Both: a key is as good as a certificate.
start_strata_nbd "$sock" --listen=tcp:localhost:0 --tls=require --tls-psk="$keys" \
    --tls-certificates="$tmp/pki" --tls-verify-peer "$image"
check_clients
assert_content "nbds+unix:///?socket=$sock&tls-certificates=$tmp/pki"
assert_fails_with 'gnutls|TLS' nbdinfo --size "nbds+unix:///?socket=$sock"
says 'the client has shown no certificate, which it has to (Certificate is required'
port=$(sed -n 's/^listening on nbds:.*localhost:\([0-9]*\)\/.*/\1/p' "$server_log")
make_pki "$tmp/other" client
assert_fails_with 'gnutls|TLS' nbdinfo --size "nbds://localhost:$port/?tls-certificates=$tmp/other"
says 'the client broke off; perhaps it does not accept the server.s certificate, or the name in it (Err'
stop_process "$server_pid" || fail "the server ended badly"

# Only some of those who have a key.
start_strata_nbd "$sock" --tls-psk="$keys" --tls-authz psk=alice "$image"
assert_content "$(uri alice "$keys")"
assert_fails_with 'gnutls|TLS' nbdinfo --size "$(uri bob "$keys")"
wait_until "the refusal of bob in the log" grep -q 'no rule of --tls-authz admits the client, key of "bob"' "$server_log"
assert_fails_with 'TLS' nbdinfo --size "nbd+unix:///?socket=$sock"

# --run leads to the first key, and our own client is one like the others.
assert_eq 10485760 "$("$STRATA_NBD" --tls=require --tls-psk="$keys" --run 'nbdinfo --size "$uri"' "$image")" \
    "--run"
"$STRATA_NBD" --object "tls-creds-psk,id=c0,dir=$tmp/psk,username=alice" \
    --run 'nbdcopy "$uri" '"$tmp/again.raw" "nbds+unix:///?socket=$sock&tls-creds=c0"
cmp "$tmp/again.raw" "$tmp/flat.raw" || fail "a copy through two servers differs"
