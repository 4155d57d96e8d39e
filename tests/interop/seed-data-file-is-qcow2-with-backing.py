# SPDX-License-Identifier: LGPL-2.1-or-later
# seed-data-file-is-qcow2-with-backing.py - the seed case (d): an external data file that is itself
# an overlay. The image claims what its own tables say it holds; its data file's chain supplies
# bytes and zeros, never depth or claimants.
from seed_case import Workspace, check_case, content, main, qemu_io, run

EXPECTED = """
#   from to   base:allocation  depth  claimant
    0    1M   0                1      image      # its bytes lie in data-base
    1M   2M   3                0      -
    2M   3M   0                1      image      # its bytes lie in data
    3M   4M   3                0      -
    4M   5M   3                1      image      # the image says zero
    5M   6M   3                0      -
    6M   7M   3                1      image      # the image says data, data knows it to be zero
    7M   10M  3                0      -          # data holds rubbish in 8M-9M
"""

IMAGE = content("10M", ("0", "1M", 0x11), ("2M", "3M", 0x22))


def opts(work, data_file):
    return (f"driver=qcow2,node-name=image,"
            f"file.driver=file,file.filename={work.path('image.qcow2')},"
            f"data-file.driver=qcow2,data-file.node-name=data,data-file.file.driver=file,"
            f"data-file.file.filename={work.path(data_file)}")


def make_images(work):
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={work.path('unused.raw')}",
        work.path("image.qcow2"), "10M")
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path("data-base.qcow2"), "10M")
    run("qemu-io", "--image-opts", "-c", "write -q -P 0x11 0 1M", opts(work, "data-base.qcow2"))
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "data-base.qcow2", "-F", "qcow2",
        work.path("data.qcow2"))
    run("qemu-io", "--image-opts", "-c", "write -q -P 0x22 2M 1M", "-c", "write -q -z 4M 1M",
        "-c", "write -q -P 0x66 6M 1M", opts(work, "data.qcow2"))
    qemu_io(work.path("data.qcow2"), "write -q -z 6M 1M", "write -q -P 0x88 8M 1M")


def test():
    with Workspace() as work:
        make_images(work)
        check_case(work, ["--image-opts", opts(work, "data.qcow2")], EXPECTED, IMAGE,
                   path=["image"])


main(test)
