# SPDX-License-Identifier: LGPL-2.1-or-later
# seed-base-shorter-or-longer-than-overlay.py - the seed case (g): past the end of a short base the
# overlay reads zeros, which the base claims; of a long base only the overlay's size is seen. Under
# a raw node and not; where not, qemu-nbd must say the same.
from seed_case import (Table, Workspace, check_case, check_same_map, connect, content, main,
                       qemu_io, run, whole_maps)

SHORT = """
#   from to   base:allocation  depth  claimant
    0    1M   0                2      base.qcow2
    1M   2M   3                0      -
    2M   3M   0                1      overlay.qcow2
    3M   4M   0                2      base.qcow2
    4M   6M   3                2      base.qcow2      # past its end
    6M   7M   0                1      overlay.qcow2
    7M   10M  3                2      base.qcow2      # past its end
"""

LONG = """
    0    1M   0                2      base.qcow2
    1M   2M   3                0      -
    2M   3M   0                1      overlay.qcow2
    3M   6M   3                0      -
    6M   7M   0                1      overlay.qcow2
    7M   9M   3                0      -
    9M   10M  0                2      base.qcow2
"""

SHORT_IMAGE = content("10M", ("0", "1M", 0x11), ("2M", "3M", 0x22), ("3M", "4M", 0x11),
                      ("6M", "7M", 0x22))
LONG_IMAGE = content("10M", ("0", "1M", 0x11), ("2M", "3M", 0x22), ("6M", "7M", 0x22),
                     ("9M", "10M", 0x11))


def make_images(work, base_size, *base_writes):
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path("base.qcow2"), base_size)
    qemu_io(work.path("base.qcow2"), *base_writes)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2",
        work.path("overlay.qcow2"), "10M")
    qemu_io(work.path("overlay.qcow2"), "write -q -P 0x22 2M 1M", "write -q -P 0x22 6M 1M")


def check_qemu_agrees(work, table_text):
    socket = work.serve_with_qemu("--format=qcow2", work.path("overlay.qcow2"))
    context = "qemu:allocation-depth"
    theirs = whole_maps(connect(socket, [context]), [context])[context]
    check_same_map(Table(table_text).context(context, []), theirs, f"{context} of qemu-nbd")


def check_base(table, image, base_size, *base_writes):
    layers = ["overlay.qcow2", "base.qcow2"]
    with Workspace() as work:
        make_images(work, base_size, *base_writes)
        overlay = work.path("overlay.qcow2")
        check_qemu_agrees(work, table)
        check_case(work, ["--format", "qcow2", overlay], table, image, path=layers)
        check_case(work, ["--image-opts",
                          f"driver=raw,file.driver=qcow2,file.file.filename={overlay}"],
                   table, image, path=["overlay.qcow2-raw"] + layers, layers=layers)


def test():
    check_base(SHORT, SHORT_IMAGE, "4M", "write -q -P 0x11 0 1M", "write -q -P 0x11 3M 1M")
    check_base(LONG, LONG_IMAGE, "12M", "write -q -P 0x11 0 1M", "write -q -P 0x11 9M 3M")


main(test)
