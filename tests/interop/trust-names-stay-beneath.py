# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-names-stay-beneath.py - names in headers lead beneath the folder of the topmost image, and
# where --allow says; however they are written, and however the allowed folder is.
import os

from trust_case import (Workspace, check, check_refused, drivers_of, json_name, main, write,
                        write_data_file_image, write_overlay)

CHAIN = ["qcow2", "file", "raw", "file"]


def check_chain(expected, *words):
    found = drivers_of(*words)
    check(found == expected, f"{words}: expected {expected}, found {found}")


def refused(work, name, *options):
    """As a backing file, as a data file, and within a json: name."""
    overlay = write_overlay(work.path("top/overlay.qcow2"), name)
    check_refused(work, [*options, overlay], "overlay.qcow2", "--allow DIR")
    tree = {"driver": "raw", "file": {"driver": "file", "filename": name}}
    overlay = write_overlay(work.path("top/json.qcow2"), json_name(tree))
    check_refused(work, [*options, overlay], "json.qcow2", "--allow DIR")
    overlay = write_data_file_image(work.path("top/data.qcow2"), name)
    check_refused(work, [*options, overlay], "data.qcow2", "--allow DIR")


def opens(work, name, *options):
    overlay = write_overlay(work.path("top/overlay.qcow2"), name)
    check_chain(CHAIN, *options, overlay)
    tree = {"driver": "raw", "file": {"driver": "file", "filename": name}}
    overlay = write_overlay(work.path("top/json.qcow2"), json_name(tree), None)
    check_chain(CHAIN, *options, overlay)
    overlay = write_data_file_image(work.path("top/data.qcow2"), name)
    check_chain(["qcow2", "file", "file"], *options, overlay)


def make_folders(work):
    for folder in ("top", "top/sub", "other", "topmost"):
        os.mkdir(work.path(folder))
    for folder in ("top", "top/sub", "other", "topmost"):
        write(work.path(folder + "/base"), b"\0" * 65536)
    os.symlink("../other/base", work.path("top/out"))
    os.symlink(work.path("other"), work.path("top/out-folder"))
    os.symlink("out", work.path("top/out-twice"))
    os.symlink("/proc/self/cwd", work.path("top/cwd"))
    os.symlink("sub", work.path("top/in"))
    os.symlink(work.path("top/base"), work.path("top/in-absolute"))
    os.symlink("other", work.path("alias"))


OUTSIDE = ("../other/base", "../topmost/base", "sub/../../other/base", "./.././other/base", "out",
           "out-twice", "out-folder/base", "out-folder/../other/base", "cwd/base", "/etc/passwd",
           "//etc/passwd", "/proc/self/cwd/other/base", "../nothing/here", "file:../other/base")
INSIDE = ("base", "./base", "sub/base", "in/base", "in/../base", "sub/../base", "../top/base",
          "in-absolute", ".//sub///base")


def test():
    with Workspace() as work:
        make_folders(work)
        absolute = work.path("other/base")
        for name in OUTSIDE[:-1] + (absolute,):
            refused(work, name)
        overlay = write_overlay(work.path("top/overlay.qcow2"), OUTSIDE[-1])
        check_refused(work, [overlay], "--allow DIR")
        for name in INSIDE + (work.path("top/base"),):
            opens(work, name)

        for spelling in ("other", "other/", "other//.", "top/../other", "top/in/../../other",
                         "alias", "alias/"):
            for name in ("../other/base", "out", "out-folder/base", absolute):
                opens(work, name, "--allow", work.path(spelling))
            refused(work, "../topmost/base", "--allow", work.path(spelling))
        opens(work, absolute, "--allow", "/")
        opens(work, "../topmost/base", "--allow", work.path("other"), "--allow",
              work.path("topmost"))
        for option in ("nothing", "other/base"):
            check_refused(work, ["--allow", work.path(option), overlay], "allowed directory", option)

        # From another folder, by a relative name, and through a link.
        os.chdir(work.path("other"))
        write_overlay(work.path("top/overlay.qcow2"), "base")
        os.symlink("../top/overlay.qcow2", work.path("other/overlay.qcow2"))
        os.unlink(work.path("top/base"))
        check_chain(CHAIN, "overlay.qcow2")  # the link's own neighbour, as in QEMU
        check_refused(work, ["../top/overlay.qcow2"], "No such file")
        write_overlay(work.path("top/overlay.qcow2"), work.path("top/sub/base"))
        check_chain(CHAIN, "overlay.qcow2")  # the file's own folder is its, too


main(test)
