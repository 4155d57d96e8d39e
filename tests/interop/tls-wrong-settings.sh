#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-wrong-settings.sh - options that do not go together and files that are no use: one line that names
# the file and the reason, status 1, and nothing is served. What is merely odd is said, and served.
source "$(dirname "$0")/../functions.sh"
source "$(dirname "$0")/tls_case.sh"
require_tool certtool psktool

truncate -s 1M "$tmp/disk.raw"
image=(-f raw "$tmp/disk.raw")
make_pki "$tmp/pki" server
make_pki "$tmp/other" server
psktool -u alice -p "$tmp/keys.psk" >/dev/null 2>&1

# refused REGEX ARG...
refused()
{
    local regex=$1 status=0 output
    shift

    output=$(timeout 20 "$STRATA_NBD" --run true "$@" "${image[@]}" 2>&1 >/dev/null </dev/null) || status=$?
    assert_eq 1 "$status" "status of strata-nbd $*"
    assert_eq 1 "$(wc -l <<<"$output")" "lines of '$output'"
    [[ $output =~ ^strata-nbd:\ $regex ]] || fail "says '$output', not '$regex': $*"
}

# misused REGEX ARG...: the line ends with where to read on
misused()
{
    local regex=$1
    shift

    refused "$regex.*"\ '\(see strata-nbd --help\)$' "$@"
}

certificates=--tls-certificates=$tmp/pki
misused '--tls needs off, on or require' --tls=
misused "--tls takes off, on or require, not 'yes'" --tls=yes
misused '--tls=on needs --tls-certificates or --tls-psk' --tls=on
misused '--tls=require needs --tls-certificates or --tls-psk' --tls=require
misused '--tls-certificates needs a directory' --tls-certificates=
misused '--tls-psk needs a file' --tls-psk=
misused '--tls-verify-peer needs --tls-certificates' --tls-verify-peer
misused '--tls-verify-peer needs --tls-certificates' --tls-verify-peer --tls-psk="$tmp/keys.psk"
misused '--tls-authz needs a rule' "$certificates" --tls-authz=
misused "--tls-authz takes dn=, san= or psk= and what to match, not 'any'" "$certificates" --tls-authz any
misused "--tls-authz takes dn=, san= or psk= and what to match, not 'user=0'" "$certificates" \
    --tls-authz dn=CN=a --tls-authz user=0
misused "--tls-authz 'dn=CN=a' is about certificates, which need --tls-certificates" \
    --tls-psk="$tmp/keys.psk" --tls-authz dn=CN=a
misused "--tls-authz 'psk=a' is about pre-shared keys, which need --tls-psk" "$certificates" --tls-authz psk=a
for mode in on off; do
    misused "--tls-authz does not go with --tls=$mode" --tls=$mode "$certificates" --tls-authz dn=CN=a
done
misused '.*san=' "$certificates" --tls-authz san=nothing

# bad NAME CONTENT REGEX: a copy of the folder in which that file is another; NULL: missing
bad()
{
    local name=$1 content=$2 regex=$3

    rm -rf "$tmp/bad"
    cp -r "$tmp/pki" "$tmp/bad"
    rm -f "$tmp/bad/$name"
    [[ $content == NULL ]] || printf '%b' "$content" >"$tmp/bad/$name"
    chmod 600 "$tmp"/bad/*
    refused "cannot (read|use) '$tmp/bad/$name': $regex" --tls-certificates="$tmp/bad"
}
for name in ca-cert.pem server-cert.pem server-key.pem; do
    bad "$name" NULL 'No such file or directory'
    bad "$name" '' '.* in PEM form'
    bad "$name" 'nonsense' '.* in PEM form'
    bad "$name" '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' '.* in PEM form'
done
bad ca-crl.pem '' '.* in PEM form'
bad ca-crl.pem 'nonsense' '.* in PEM form'
rm -rf "$tmp/bad"
cp -r "$tmp/pki" "$tmp/bad"
cp "$tmp/other/server-key.pem" "$tmp/bad"
refused "the key in '$tmp/bad/server-key.pem' is not that of the certificate in '$tmp/bad/server-cert.pem'" \
    --tls-certificates="$tmp/bad"
refused "cannot read '$tmp/nowhere/ca-cert.pem': No such file or directory" --tls-certificates="$tmp/nowhere"
rm "$tmp/bad/server-key.pem"
mkfifo -m 600 "$tmp/bad/server-key.pem"
refused "cannot read '$tmp/bad/server-key.pem': it is not a regular file" --tls-certificates="$tmp/bad"
rm "$tmp/bad/server-key.pem"
certtool --generate-privkey --key-type ecdsa --pkcs8 --password secret \
    --outfile "$tmp/bad/server-key.pem" 2>/dev/null
chmod 600 "$tmp/bad/server-key.pem"
refused "cannot use '$tmp/bad/server-key.pem': .* that no password protects" --tls-certificates="$tmp/bad"

refused "cannot read '$tmp/none.psk': No such file or directory" --tls-psk="$tmp/none.psk"
: >"$tmp/empty.psk"
chmod 600 "$tmp/empty.psk"
refused "the file of keys '$tmp/empty.psk' has no key in it" --tls-psk="$tmp/empty.psk"
printf 'alice:00\nbob\n' >"$tmp/bad.psk"
chmod 600 "$tmp/bad.psk"
refused "the file of keys '$tmp/bad.psk', line 2: expected NAME:KEY" --tls-psk="$tmp/bad.psk"

# warned REGEX ARG...: served all the same
warned()
{
    local regex=$1 output
    shift

    output=$("$STRATA_NBD" --run true "$@" "${image[@]}" 2>&1) || fail "ended: $output"
    [[ $output =~ $regex ]] || fail "says '$output', not '$regex': $*"
}
chmod 644 "$tmp/keys.psk"
warned "every user of this machine can read the key in '$tmp/keys.psk'" --tls-psk="$tmp/keys.psk"
chmod 600 "$tmp/keys.psk" "$tmp/pki/server-key.pem"
out=$("$STRATA_NBD" --run true --tls-psk="$tmp/keys.psk" "$certificates" "${image[@]}" 2>&1) || fail "$out"
assert_eq '' "$out" "what is said of good files"
for dates in '2020-01-01 2020-01-02 has\ expired\ \(2020-01-02' '2090-01-01 2090-01-02 is\ not\ valid\ yet\ \(2090-01-01'; do
    read -r from until regex <<<"$dates"
    printf 'cn = "localhost"\nactivation_date = "%s 00:00:00"\nexpiration_date = "%s 00:00:00"\ntls_www_server\n' \
        "$from" "$until" >"$tmp/pki/server.info"
    certtool --generate-certificate --load-ca-certificate "$tmp/pki/ca-cert.pem" \
        --load-ca-privkey "$tmp/pki/ca-key.pem" --load-privkey "$tmp/pki/server-key.pem" \
        --template "$tmp/pki/server.info" --outfile "$tmp/pki/server-cert.pem" 2>/dev/null
    warned "the certificate in '$tmp/pki/server-cert.pem' $regex" "$certificates"
done
