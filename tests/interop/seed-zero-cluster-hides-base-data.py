# SPDX-License-Identifier: LGPL-2.1-or-later
# seed-zero-cluster-hides-base-data.py - the seed case (f): zero clusters of the overlay, plain and
# preallocated, over data of the base, under raw: the overlay claims them, and they are zeros.
from seed_case import Workspace, check_case, content, main, qemu_io, run

EXPECTED = """
#   from to   base:allocation  depth  claimant
    0    1M   0                2      base.qcow2
    1M   2M   3                1      overlay.qcow2   # a plain zero cluster
    2M   3M   0                2      base.qcow2
    3M   4M   3                1      overlay.qcow2   # zeros over data that the overlay had
    4M   10M  3                0      -
"""

IMAGE = content("10M", ("0", "1M", 0x11), ("2M", "3M", 0x11))


def test():
    with Workspace() as work:
        run("qemu-img", "create", "-q", "-f", "qcow2", work.path("base.qcow2"), "10M")
        qemu_io(work.path("base.qcow2"), "write -q -P 0x11 0 4M")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2",
            work.path("overlay.qcow2"))
        qemu_io(work.path("overlay.qcow2"), "write -q -z 1M 1M", "write -q -P 0x33 3M 1M",
                "write -q -z 3M 1M")
        opts = f"driver=raw,file.driver=qcow2,file.file.filename={work.path('overlay.qcow2')}"
        check_case(work, ["--image-opts", opts], EXPECTED, IMAGE,
                   path=["overlay.qcow2-raw", "overlay.qcow2", "base.qcow2"],
                   layers=["overlay.qcow2", "base.qcow2"])


main(test)
