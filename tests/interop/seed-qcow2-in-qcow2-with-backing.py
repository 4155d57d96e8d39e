# SPDX-License-Identifier: LGPL-2.1-or-later
# seed-qcow2-in-qcow2-with-backing.py - the seed case (c): an image kept in an image that has a
# backing file of its own. Who claims and how deep is told by the outer chain alone; whether the
# bytes are zero, and the bytes, come from the inner one.
import json

from seed_case import TestFailure, Workspace, check_case, content, main, qemu_io, run

EXPECTED = """
#   from to   base:allocation  depth  claimant
    0    1M   0                2      outer-base.qcow2
    1M   2M   3                0      -
    2M   3M   0                1      outer      # its bytes lie in inner-base
    3M   4M   3                0      -
    4M   5M   0                1      outer      # its bytes lie in inner
    5M   6M   3                0      -
    6M   7M   3                1      outer      # outer says zero
    7M   8M   3                0      -
    8M   9M   3                1      outer      # outer says data, inner knows it to be zero
    9M   10M  3                0      -
"""

IMAGE = content("10M", ("0", "1M", 0x11), ("2M", "3M", 0x22), ("4M", "5M", 0x44))


def host_offset(work, start):
    """Where outer keeps the megabyte that begins at start."""
    for extent in json.loads(run("qemu-img", "map", "-f", "qcow2", "--output=json",
                                 work.path("outer.qcow2"))):
        end = extent["start"] + extent["length"]
        if extent["start"] <= start and start + (1 << 20) <= end and extent["depth"] == 0:
            return extent["offset"] + start - extent["start"]
    raise TestFailure("QEMU did not keep a megabyte in one piece")


def make_images(work):
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path("outer-base.qcow2"), "10M")
    qemu_io(work.path("outer-base.qcow2"), "write -q -P 0x11 0 1M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "outer-base.qcow2", "-F", "qcow2",
        work.path("outer.qcow2"))
    qemu_io(work.path("outer.qcow2"), "write -q -P 0x22 2M 1M", "write -q -P 0x88 8M 1M",
            "write -q -z 6M 1M")
    zeroed = host_offset(work, 8 << 20)

    # Room behind the outer image, where it can grow when it is written to.
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path("inner-base.qcow2"), "20M")
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", work.path("outer.qcow2"),
        work.path("inner-base.qcow2"))
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "inner-base.qcow2", "-F", "qcow2",
        work.path("inner.qcow2"))
    run("qemu-io", "--image-opts", "-c", "write -q -P 0x44 4M 1M",
        f"driver=qcow2,file.driver=qcow2,file.file.driver=file,"
        f"file.file.filename={work.path('inner.qcow2')}", cwd=work.dir)
    qemu_io(work.path("inner.qcow2"), f"write -q -z {zeroed} 1M")


def test():
    with Workspace() as work:
        make_images(work)
        spec = {"driver": "qcow2", "node-name": "outer",
                "file": {"driver": "qcow2", "node-name": "inner",
                         "file": {"driver": "file", "filename": work.path("inner.qcow2")}}}
        check_case(work, ["json:" + json.dumps(spec)], EXPECTED, IMAGE,
                   path=["outer", "outer-base.qcow2"])


main(test)
