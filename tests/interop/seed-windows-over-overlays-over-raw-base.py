# SPDX-License-Identifier: LGPL-2.1-or-later
# seed-windows-over-overlays-over-raw-base.py - the seed case (e): raw over raw over overlay over
# overlay over a raw base with an offset. Windows add up and add no depth; the raw base is a layer
# and claims all that is left, the holes of its host file too.
import json

from seed_case import Workspace, check_case, content, main, qemu_io, run

# In the overlays' offsets: base 0-1M data; middle 2M-3M data, 4M-5M zero; upper 6M-7M data.
# The two windows begin at 512K and end at 8448K.
EXPECTED = """
#   from  to     base:allocation  depth  claimant
    0     512K   0                3      base.raw
    512K  1536K  3                3      base.raw
    1536K 2560K  0                2      middle.qcow2
    2560K 3584K  3                3      base.raw
    3584K 4608K  3                2      middle.qcow2
    4608K 5632K  3                3      base.raw
    5632K 6656K  0                1      upper.qcow2
    6656K 7936K  3                3      base.raw
"""

IMAGE = content("7936K", ("0", "512K", 0x11), ("1536K", "2560K", 0x22), ("5632K", "6656K", 0x66))


def make_images(work):
    with open(work.path("base.raw"), "wb") as base:
        base.write(b"\xee" * 65536 + b"\x11" * (1 << 20))
        base.truncate((10 << 20) + 65536)
    window = {"driver": "raw", "offset": 65536,
              "file": {"driver": "file", "filename": work.path("base.raw")}}
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "json:" + json.dumps(window), "-F", "raw",
        work.path("middle.qcow2"), "10M")
    qemu_io(work.path("middle.qcow2"), "write -q -P 0x22 2M 1M", "write -q -z 4M 1M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2",
        work.path("upper.qcow2"))
    qemu_io(work.path("upper.qcow2"), "write -q -P 0x66 6M 1M")


def test():
    with Workspace() as work:
        make_images(work)
        spec = {"driver": "raw", "offset": 262144, "node-name": "outer-window", "file": {
            "driver": "raw", "offset": 262144, "size": 8 << 20, "node-name": "inner-window",
            "file": {"driver": "qcow2", "file": {
                "driver": "file", "filename": work.path("upper.qcow2")}}}}
        layers = ["upper.qcow2", "middle.qcow2", "base.raw"]
        check_case(work, ["json:" + json.dumps(spec)], EXPECTED, IMAGE,
                   path=["outer-window", "inner-window"] + layers, layers=layers)


main(test)
