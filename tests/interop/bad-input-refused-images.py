# SPDX-License-Identifier: LGPL-2.1-or-later
# bad-input-refused-images.py - images that cannot be opened: a message that names the file, what is
# wrong and the way out; non-zero exit status; nothing is left behind.
import os
import struct

from bad_input import (Image, Workspace, check_refused, compose, eight_clusters, main, patch,
                       patch_be, qcow2_writer, write)


def check_blob(work, name, blob, *patterns):
    path = write(work.path(name), blob)
    check_refused(work, ["--format", "qcow2", path], name, *patterns)


def check_header_field(work, name, offset, size, value, *patterns):
    """A whole image of which one header field has another value."""
    blob = eight_clusters()[1].blob
    patch_be(blob, offset, size, value)
    check_blob(work, name, blob, *patterns)


def check_fields(work):
    field = check_header_field
    field(work, "version-4.qcow2", 4, 4, 4, "version", "4")
    field(work, "cluster-bits-8.qcow2", 20, 4, 8, "cluster", "8")
    field(work, "cluster-bits-40.qcow2", 20, 4, 40, "cluster", "40")
    field(work, "crypt-1.qcow2", 32, 4, 1, "[Ee]ncrypt")
    field(work, "crypt-2.qcow2", 32, 4, 2, "[Ee]ncrypt")
    field(work, "l1-too-small.qcow2", 36, 4, 0, "L1")
    field(work, "l1-misaligned.qcow2", 40, 8, 0x12345, "L1", "0x12345")
    field(work, "l1-past-the-end.qcow2", 40, 8, 1 << 40, "L1", "0x10000000000")
    field(work, "header-length-3.qcow2", 100, 4, 3, "header", "3")
    field(work, "header-length-big.qcow2", 100, 4, 0xFFFFFFF8, "header")
    field(work, "size-huge.qcow2", 24, 8, (1 << 64) - 512, "size|L1")


def check_long_backing_name(work):
    blob = eight_clusters()[1].blob
    patch_be(blob, 8, 8, 200)
    patch_be(blob, 16, 4, 5000)
    check_blob(work, "backing-name-long.qcow2", blob, "backing", "5000|1023")


def check_features(work):
    names = qcow2_writer.FEATURE_NAMES + ((0, 9, b"teleportation"),)
    _, composed = eight_clusters(incompatible=1 << 9, feature_names=names)
    check_blob(work, "feature-named.qcow2", composed.blob, "teleportation")
    _, composed = eight_clusters(incompatible=1 << 10)
    check_blob(work, "feature-unnamed.qcow2", composed.blob, "10|0x400", "[Ff]eature")
    _, composed = eight_clusters(incompatible=1 << 11,
                                 feature_names=((0, 11, b"evil\x1b[2J\nname"),))
    check_blob(work, "feature-escaped.qcow2", composed.blob, r"^[\x20-\x7e]*$")


def check_truncated(work):
    blob = eight_clusters()[1].blob
    check_blob(work, "empty.qcow2", b"", "qcow2")
    for length in (4, 71, 100):
        check_blob(work, f"only-{length}-bytes.qcow2", blob[:length], "0x|byte")
    check_blob(work, "other-magic.qcow2", b"\0" * 65536, "magic|QFI|qcow2")
    extension = bytearray(blob)
    patch(extension, 104, struct.pack(">II", 0xE2792ACA, 0xFFFFFFF0))
    check_blob(work, "extension-too-long.qcow2", extension, "extension")


def write_overlay(work, name, backing, backing_format="qcow2"):
    image = Image(1 << 20, backing=backing, backing_format=backing_format)
    return write(work.path(name), compose(image).blob)


def check_backing(work):
    overlay = write_overlay(work, "lonely.qcow2", "gone.qcow2")
    check_refused(work, [overlay], "gone.qcow2", "[Nn]o such file")
    write(work.path("base.qcow2"), eight_clusters()[1].blob)
    overlay = write_overlay(work, "formatless.qcow2", "base.qcow2", None)
    check_refused(work, [overlay], "formatless.qcow2", "--backing-format")
    overlay = write_overlay(work, "strange.qcow2", "base.qcow2", "vmdk")
    check_refused(work, [overlay], "vmdk")
    image = Image(1 << 20, external_data=True, data_file="gone.raw")
    check_refused(work, [write(work.path("dataless.qcow2"), compose(image).blob)], "gone.raw")
    image = Image(1 << 20, external_data=True)
    check_refused(work, [write(work.path("nameless.qcow2"), compose(image).blob)], "data-file")


def check_cycles(work):
    cycle = "lead back to where they began"
    overlay = write_overlay(work, "self.qcow2", "self.qcow2")
    check_refused(work, [overlay], "self.qcow2", cycle)
    write_overlay(work, "one.qcow2", "two.qcow2")
    check_refused(work, [write_overlay(work, "two.qcow2", "one.qcow2")], cycle)
    os.symlink("linked.qcow2", work.path("link.qcow2"))
    check_refused(work, [write_overlay(work, "linked.qcow2", "link.qcow2")],
                  cycle)
    os.link(write_overlay(work, "hard.qcow2", "other-name.qcow2"), work.path("other-name.qcow2"))
    check_refused(work, [work.path("hard.qcow2")], cycle)


def check_not_files(work):
    check_refused(work, [work.path("nothing-here")], "nothing-here", "[Nn]o such file")
    check_refused(work, [work.dir], "directory|regular file")
    os.mkfifo(work.path("fifo"))
    check_refused(work, [work.path("fifo")], "fifo", "regular file|pipe|FIFO")
    os.symlink("loop", work.path("loop"))
    check_refused(work, [work.path("loop")], "loop", "symbolic links")
    check_refused(work, ["/dev/null"], "/dev/null", "regular file|device")
    overlay = write_overlay(work, "over-fifo.qcow2", "fifo", "raw")
    check_refused(work, [overlay], "fifo", "regular file|pipe|FIFO")


def test():
    with Workspace() as work:
        check_fields(work)
        check_long_backing_name(work)
        check_features(work)
        check_truncated(work)
        check_backing(work)
        check_cycles(work)
        check_not_files(work)


main(test)
