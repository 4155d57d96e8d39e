# SPDX-License-Identifier: LGPL-2.1-or-later
# mirror-by-qemu-storage-daemon.py - QEMU's own full mirror, from strata-nbd: the target equals the
# image byte for byte. Next to it, printed and not judged: what the same mirror makes of QEMU's own
# graph of the same files.
from seed_case import Workspace, check_same_bytes, main, make_seed_images
from mirror_case import GRAPHS, StorageDaemon, bytes_that_differ, convert_to_bytes, image_opts


def mirror_from_strata(work, name, raw_options, image):
    socket = work.serve("--image-opts", image_opts(work, raw_options))
    for target_format in ("qcow2", "raw"):
        target = work.path(f"target.{target_format}")
        daemon = StorageDaemon(work, "--blockdev", "driver=nbd,node-name=source,read-only=on,"
                               f"server.type=unix,server.path={socket}")
        daemon.mirror("source", target, target_format, len(image))
        daemon.quit()
        check_same_bytes(image, convert_to_bytes(work, target, target_format),
                         f"{name}, mirrored from strata-nbd to {target_format}")


def mirror_from_qemu(work, raw_options, image):
    target = work.path("target-of-qemu.raw")
    daemon = StorageDaemon(work, "--blockdev", "node-name=source,read-only=on," +
                           image_opts(work, raw_options))
    daemon.mirror("source", target, "raw", len(image))
    daemon.quit()
    return bytes_that_differ(image, convert_to_bytes(work, target, "raw"))


def test():
    with Workspace() as work:
        make_seed_images(work)
        for name, raw_options, image in GRAPHS:
            mirror_from_strata(work, name, raw_options, image)
            wrong = mirror_from_qemu(work, raw_options, image)
            print(f"{name}: mirrored from strata-nbd: 0 bytes wrong; "
                  f"from QEMU's own graph: {wrong} bytes wrong")


main(test)
