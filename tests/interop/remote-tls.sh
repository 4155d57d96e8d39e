#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-tls.sh - a base behind a server that wants TLS, by certificates and by a pre-shared key;
# who cannot prove to be who we want is refused.
source "$(dirname "$0")/../functions.sh"
require_tool certtool psktool socat nbdkit qemu-nbd

make_seed_images
qemu-img convert -f qcow2 -O raw "$tmp/overlay.qcow2" "$tmp/flat.raw"
content=$(sha256sum <"$tmp/flat.raw")

# make_ca DIR: certificates of a server called localhost and of a client, signed by a CA of its own.
make_ca()
{
    local who

    mkdir -p "$1"
    printf 'cn = "test CA"\nca\ncert_signing_key\nexpiration_days = 2\n' >"$1/ca.info"
    certtool --generate-privkey --key-type ecdsa --outfile "$1/ca-key.pem" 2>/dev/null
    certtool --generate-self-signed --load-privkey "$1/ca-key.pem" --template "$1/ca.info" \
        --outfile "$1/ca-cert.pem" 2>/dev/null
    for who in server client; do
        certtool --generate-privkey --key-type ecdsa --outfile "$1/$who-key.pem" 2>/dev/null
        printf 'cn = "localhost"\ndns_name = "localhost"\ntls_www_%s\nsigning_key\nexpiration_days = 2\n' \
            "$who" >"$1/$who.info"
        certtool --generate-certificate --load-ca-certificate "$1/ca-cert.pem" \
            --load-ca-privkey "$1/ca-key.pem" --load-privkey "$1/$who-key.pem" \
            --template "$1/$who.info" --outfile "$1/$who-cert.pem" 2>/dev/null
    done
}

# listen_on_tcp SOCK: a free TCP port of this machine that leads to SOCK; sets $port.
listen_on_tcp()
{
    start_process socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork "UNIX-CONNECT:$1"
    wait_until "socat's port" grep -q 'listening on' "$server_log"
    port=$(sed -n 's/.*listening on AF=2 127.0.0.1:\([0-9]*\).*/\1/p' "$server_log")
}

# assert_content ARG...: strata-nbd with these arguments serves what flat.raw has.
assert_content()
{
    start_strata_nbd "$tmp/strata" "$@"
    assert_eq "$content" "$(nbdcopy "$(nbd_uri "$tmp/strata")" - | sha256sum)" "content over TLS"
    stop_process "$server_pid" || true
    rm -f "$tmp/strata" "$tmp/strata.pid"
}

make_ca "$tmp/pki"
make_ca "$tmp/other"

# Certificates, over TCP, where the server has a name to prove.
start_nbdkit "$tmp/x509" --tls=require --tls-certificates="$tmp/pki" --tls-verify-peer \
    file "$tmp/flat.raw"
listen_on_tcp "$tmp/x509"
creds=tls-creds-x509,id=c0,dir=$tmp/pki
uri="nbds://localhost:$port/?tls-creds=c0"
assert_content --object "$creds" "$uri"
assert_content --object "$creds" --image-opts \
    "driver=raw,file.driver=nbd,file.server.type=inet,file.server.host=localhost,file.server.port=$port,file.tls-creds=c0,file.tls-hostname=localhost"
"$STRATA" info --object "$creds" --image-opts \
    "driver=raw,file.driver=nbd,file.host=localhost,file.port=$port,file.tls-creds=c0" >"$tmp/info"
grep -q 'tls: yes' "$tmp/info" || fail "strata info does not tell of TLS: $(cat "$tmp/info")"
grep -q "filename: nbds://localhost:$port/" "$tmp/info" || fail "no URI: $(cat "$tmp/info")"

# Another CA signed it, or it bears another name: no connection. With verify-peer=off, the name is
# not looked at.
assert_fails_with 'cannot open it: .*[Cc]ertificate' timeout 20 "$STRATA_NBD" --run true \
    --object "tls-creds-x509,id=c0,dir=$tmp/other" "$uri"
assert_fails_with 'cannot open it: .*[Cc]ertificate' timeout 20 "$STRATA_NBD" --run true \
    --object "$creds" "nbds://127.0.0.1:$port/?tls-creds=c0"
assert_content --object "$creds,verify-peer=off" "nbds://127.0.0.1:$port/?tls-creds=c0"

# What cannot be verified is not promised.
assert_fails_with 'cannot prove it by its certificate' "$STRATA_NBD" --run true --object "$creds" \
    "nbds+unix:///?socket=$tmp/x509&tls-creds=c0"
assert_fails_with "\"tls-hostname\" is 'else.where'" "$STRATA_NBD" --run true --object "$creds" \
    "nbds://localhost:$port/?tls-creds=c0&tls-hostname=else.where"
assert_content --object "$creds,verify-peer=off" "nbds+unix:///?socket=$tmp/x509&tls-creds=c0"

# No TLS where the server wants it, and TLS where the server has none.
assert_fails_with 'cannot open it' timeout 20 "$STRATA_NBD" --run true "nbd://localhost:$port/"
start_nbdkit "$tmp/plain" file "$tmp/flat.raw"
listen_on_tcp "$tmp/plain"
assert_fails_with 'cannot open it: .*TLS' timeout 20 "$STRATA_NBD" --run true --object "$creds" \
    "nbds://localhost:$port/?tls-creds=c0"

# A pre-shared key, with QEMU's server.
mkdir "$tmp/psk" "$tmp/wrong"
psktool -u alice -p "$tmp/psk/keys.psk" 2>/dev/null >&2
psktool -u alice -p "$tmp/wrong/keys.psk" 2>/dev/null >&2
start_qemu_nbd "$tmp/q" --object "tls-creds-psk,id=s0,endpoint=server,dir=$tmp/psk" \
    --tls-creds s0 -f qcow2 "$tmp/overlay.qcow2"
assert_content --object "tls-creds-psk,id=c0,dir=$tmp/psk,username=alice" \
    "nbds+unix:///?socket=$tmp/q&tls-creds=c0"
assert_fails_with 'cannot open it' timeout 20 "$STRATA_NBD" --run true \
    --object "tls-creds-psk,id=c0,dir=$tmp/wrong,username=alice" \
    "nbds+unix:///?socket=$tmp/q&tls-creds=c0"
assert_fails_with 'cannot open it' timeout 20 "$STRATA_NBD" --run true \
    --object "tls-creds-psk,id=c0,dir=$tmp/psk,username=bob" \
    "nbds+unix:///?socket=$tmp/q&tls-creds=c0"
