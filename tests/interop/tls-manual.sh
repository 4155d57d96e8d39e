#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-manual.sh - the commands of the section TLS of strata-nbd(8) do what it says.
source "$(dirname "$0")/../functions.sh"
source "$(dirname "$0")/tls_case.sh"
require_tool certtool psktool nbdinfo qemu-img

make_seed_images
cd "$tmp"

# commands HEADING: the indented lines of that section, continued lines put together
commands()
{
    sed -n "/^=head2 $1/,/^=head[12] /p" "$SRCDIR/docs/strata-nbd.pod" | sed -n 's/^ \(.*\)/\1/p' |
        sed -e ':a' -e '/\\$/{N;s/\\\n//;ba' -e '}'
}

mkdir bin pki
ln -s "$STRATA_NBD" bin/strata-nbd
PATH=$tmp/bin:$PATH

# try_out COMMANDS: all but those from elsewhere; and then these, with a port of ours
try_out()
{
    local line

    while IFS= read -r line; do
        echo "+ $line" >>"$tmp/log.manual"
        bash -c "$line" >>"$tmp/log.manual" 2>&1 </dev/null || fail "$line: $(cat "$tmp/log.manual")"
    done
}
here='^strata-nbd' elsewhere='^(nbdinfo|qemu-img) '

list=$(commands Certificates)
assert_eq 14 "$(wc -l <<<"$list")" "commands about certificates: $list"
(cd pki && try_out < <(grep -vE "$here|$elsewhere" <<<"$list"))
assert_fails_with '[Rr]evoked' bash -c "$(grep -E "$here" <<<"$list")"
rm pki/ca-crl.pem
try_out < <(grep -E "$here" <<<"$list")
grep -q 'export-size: 10485760' "$tmp/log.manual" || fail "$(cat "$tmp/log.manual")"
start_strata_nbd_tcp --tls=require --tls-certificates=pki --tls-verify-peer overlay.qcow2
try_out < <(grep -E "$elsewhere" <<<"$list" | sed "s/localhost\//localhost:$port\//; s/10809/$port/")

list=$(commands 'Pre-shared keys')
assert_eq 5 "$(wc -l <<<"$list")" "commands about keys: $list"
try_out < <(grep -vE "$elsewhere" <<<"$list")
start_strata_nbd_tcp --tls=require --tls-psk=psk/keys.psk overlay.qcow2
try_out < <(grep -E "$elsewhere" <<<"$list" | sed "s/localhost\//localhost:$port\//; s/10809/$port/")
assert_eq 4 "$(grep -cE "^\+ (nbdinfo|qemu-img) " "$tmp/log.manual")" "programs that were run from elsewhere"
