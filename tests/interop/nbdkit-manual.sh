#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-manual.sh - the parameters in "nbdkit strata --help" are those of the manual page and are
# all accepted; the page's examples work; --dump-plugin tells what there is.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo nbdcopy sfdisk
page=$SRCDIR/docs/nbdkit-strata-plugin.pod

help=$(nbdkit "$STRATA_PLUGIN" --help)
in_help=$(sed -nE 's/^ *\[?([a-z][a-z-]*)=\]?[A-Z]+ .*/\1/p' <<<"$help" | sort)
in_page=$(sed -nE 's/^=item \[?B<([a-z-]+)=>.*/\1/p' "$page" | sort)
assert_eq 'allow
allow-protocols
backing-format
contexts
description
file
force-share
format
metadata-cache
object
probe
snapshot
spec' "$in_help" "parameters in --help"
assert_eq "$in_help" "$in_page" "parameters in --help and in the manual page"
for parameter in $in_help; do
    output=$(nbdkit -f -U "$tmp/s" "$STRATA_PLUGIN" "$parameter=/nowhere" 2>&1 || true)
    [[ $output != *"unknown parameter"* ]] || fail "$parameter= is documented and not known"
done

dump=$(nbdkit "$STRATA_PLUGIN" --dump-plugin)
for line in name=strata max_thread_model=parallel thread_model=parallel magic_config_key=file \
    'strata_exports=@NODE only@NODE above@NODE' 'strata_contexts=unix tcp vsock' 'strata_formats=luks qcow2 raw' \
    'strata_protocols=file nbd' has_extents=1 \
    has_cache=1 has_block_size=1 has_list_exports=1; do
    grep -qxF "$line" <<<"$dump" || fail "--dump-plugin does not say $line"
done

# The examples, each group of lines in a folder of its own. "strata" is the plugin of this build, and
# what an example leaves running ends with the test.
mkdir "$tmp/bin"
cat >"$tmp/bin/nbdkit" <<END
#!/bin/bash
[[ \$1 != -U || \$2 == - ]] || set -- --pidfile pid "\$@"
exec $(command -v nbdkit) "\${@/#strata/$STRATA_PLUGIN}"
END
chmod +x "$tmp/bin/nbdkit"

printf 'open sesame' >"$tmp/disk.key"
luks='-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10'
create_encrypted "$tmp/disk.key" "$luks" "$tmp/encrypted.qcow2" 1M

# in_folder: runs the commands of standard input beside images of their own.
in_folder()
{
    local folder commands

    folder=$(mktemp -d "$tmp/x.XXXX")
    commands=$(cat)
    make_seed_images "$folder"
    qemu-img snapshot -c before-upgrade "$folder/overlay.qcow2"
    cp "$tmp/disk.key" "$tmp/encrypted.qcow2" "$folder"
    cleanup_fn eval "[[ ! -e $folder/pid ]] || kill \$(cat $folder/pid)"
    (cd "$folder" && PATH=$tmp/bin:$PATH timeout 60 bash -euo pipefail -c "$commands" >/dev/null) ||
        fail "an example of the manual page fails: $commands"
    n_examples=$((n_examples + 1))
}
n_examples=0
examples=$(sed -n '/^=head1 EXAMPLES/,/^=head1 ERRORS/p' "$page")
while read -r -d '' commands; do
    in_folder <<<"$commands"
done < <(awk '/^ / { block = block $0 "\n" } !/^ / && block { printf "%s%c", block, 0; block = "" }
    END { if (block) printf "%s%c", block, 0 }' <<<"$examples")
assert_eq 4 "$n_examples" "groups of commands in EXAMPLES"

# The filters: "..." stands for the plugin and its image. A partition table is there for all. Each
# does what the page says, as nbdinfo shows: a wrong parameter may be a right one for another thing.
declare -A shows=(
    [cow]='is_read_only: false'
    [partition]='export-size: 2097152 '
    [offset]='export-size: 9437184 '
    [exportname]="description: what node 'base.qcow2' alone supplies"
    [log]='export-size: 10485760 '
)
while read -r filter; do
    name=${filter#--filter=}
    shown=${shows[${name%% *}]:-} # empty: the page has a filter that is not above
    [[ -n $shown ]] || fail "nobody knows what $filter should show"
    in_folder <<END
qemu-img convert -O raw overlay.qcow2 disk
echo '2048,4096,83' | sfdisk --quiet --label dos disk
qemu-img rebase -q -u -b '' overlay.qcow2
qemu-img convert -O qcow2 disk base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2
nbdkit -U - ${filter/.../strata overlay.qcow2} --run 'nbdinfo "\$uri"' >info
grep -F "$shown" info
END
done < <(sed -n '/^=head1 FILTERS/,/^=head1 EXAMPLES/p' "$page" | grep -oE 'C<--filter=[^>]+' |
    cut -c 3- | sed 's/^\(--filter=[a-z]*\)$/\1 .../')
assert_eq 9 "$n_examples" "commands in EXAMPLES and FILTERS"
