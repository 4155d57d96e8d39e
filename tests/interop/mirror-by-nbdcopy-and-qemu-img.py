# SPDX-License-Identifier: LGPL-2.1-or-later
# mirror-by-nbdcopy-and-qemu-img.py - copies made by nbdcopy and by qemu-img convert, which trust
# base:allocation and skip what it calls zero, equal the image byte for byte.
from seed_case import Workspace, check_same_bytes, main, make_seed_images, run
from mirror_case import GRAPHS, convert_to_bytes, image_opts


def check_nbdcopy(work, name, uri, image):
    target = work.path("nbdcopy.raw")
    run("nbdcopy", uri, target)
    with open(target, "rb") as file:
        check_same_bytes(image, file.read(), f"{name}, copied by nbdcopy")


def check_convert(work, name, uri, image):
    for target_format in ("qcow2", "raw"):
        target = work.path(f"convert.{target_format}")
        run("qemu-img", "convert", "-f", "raw", "-O", target_format, uri, target)
        # QEMU makes sizes multiples of 512; those of the seed graphs are.
        check_same_bytes(image, convert_to_bytes(work, target, target_format),
                         f"{name}, copied by qemu-img convert to {target_format}")


def test():
    with Workspace() as work:
        make_seed_images(work)
        for name, raw_options, image in GRAPHS:
            uri = f"nbd+unix:///?socket={work.serve('--image-opts', image_opts(work, raw_options))}"
            check_nbdcopy(work, name, uri, image)
            check_convert(work, name, uri, image)


main(test)
