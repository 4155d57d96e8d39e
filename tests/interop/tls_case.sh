# SPDX-License-Identifier: LGPL-2.1-or-later
# tls_case.sh - certificates for shell tests, and a server on TCP. For tests that have functions.sh.
# shellcheck shell=bash disable=SC2154

# make_pki DIR WHO...: a CA, and certificates for localhost as nbdkit, libnbd and QEMU name them, WHO
# being server and client.
make_pki()
{
    local dir=$1 who
    shift

    mkdir -p "$dir"
    printf 'cn = "test CA"\nca\ncert_signing_key\nexpiration_days = 2\n' >"$dir/ca.info"
    certtool --generate-privkey --key-type ecdsa --outfile "$dir/ca-key.pem" 2>/dev/null
    certtool --generate-self-signed --load-privkey "$dir/ca-key.pem" --template "$dir/ca.info" \
        --outfile "$dir/ca-cert.pem" 2>/dev/null
    for who; do
        certtool --generate-privkey --key-type ecdsa --outfile "$dir/$who-key.pem" 2>/dev/null
        printf 'cn = "localhost"\ndns_name = "localhost"\ntls_www_%s\nsigning_key\nexpiration_days = 2\n' \
            "$who" >"$dir/$who.info"
        certtool --generate-certificate --load-ca-certificate "$dir/ca-cert.pem" \
            --load-ca-privkey "$dir/ca-key.pem" --load-privkey "$dir/$who-key.pem" \
            --template "$dir/$who.info" --outfile "$dir/$who-cert.pem" 2>/dev/null
    done
}

has_told_address()
{
    grep -q '^listening on ' "$server_log"
}

# start_strata_nbd_tcp ARG...: on a free port of this machine, which is set as $port.
start_strata_nbd_tcp()
{
    start_process "$STRATA_NBD" -b localhost -p 0 "$@"
    wait_until "the address of the server" has_told_address
    port=$(sed -n 's/^listening on nbds\{0,1\}:\/\/.*localhost:\([0-9]*\)\/.*/\1/p' "$server_log" | head -n 1)
    [[ -n $port ]] || fail "no port in $(cat "$server_log")"
}
