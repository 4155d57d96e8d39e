# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-cycles.py - headers that lead back to where they began, by whatever name, and chains that are
# longer than a graph may be: refused at once, with a message that tells the way round.
import os
import resource
import time

from trust_case import (Workspace, check, check_refused, drivers_of, json_name, main, refuse,
                        STRATA, write, write_overlay)

CYCLE = "lead back to where they began"

# 1024 images of two nodes each fill a graph; one more is one too many.
MOST_IMAGES = 1024


def check_cycles(work):
    path = work.path("top.qcow2")
    os.symlink("top.qcow2", work.path("link"))
    os.symlink(path, work.path("absolute-link"))
    os.mkdir(work.path("sub"))
    os.symlink("..", work.path("sub/up"))
    write(path, b"")
    os.link(path, work.path("hard"))
    qcow2 = {"driver": "qcow2", "file": {"driver": "file", "filename": "top.qcow2"}}
    for name in ("top.qcow2", "./top.qcow2", path, "link", "absolute-link", "hard",
                 "sub/up/top.qcow2", "sub/up/sub/up/link", "sub/../top.qcow2",
                 json_name(qcow2), json_name({"driver": "raw", "file": qcow2}),
                 json_name({"driver": "raw", "file": {"driver": "raw", "file": qcow2}}),
                 json_name({"driver": "qcow2",
                            "file": {"driver": "raw", "file": {"filename": "link"}}})):
        backing_format = None if name.startswith("json:") else "qcow2"
        with open(path, "r+b") as file:  # the same file, for its hard link's sake
            write_overlay(work.path("new"), name, backing_format)
            file.write(open(work.path("new"), "rb").read())
        check_refused(work, [path], "top.qcow2", CYCLE)

    # By a link of /proc: what it leads to now may lie beneath the folder; the link itself never does.
    os.chdir(work.dir)
    write_overlay(path, "/proc/self/cwd/top.qcow2", "qcow2")
    check_refused(work, [path], "top.qcow2", CYCLE)
    check_refused(work, ["--allow", "/", path], "top.qcow2", "symbolic links")


def check_cycle_of_three(work):
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        write_overlay(work.path(one), other, "qcow2")
    check_refused(work, [work.path("a")], CYCLE, "a' -> '.*b' -> '.*c' -> '.*a'")


def check_windows_are_no_cycle(work):
    """The same file, but not the same header."""
    name = json_name({"driver": "raw", "offset": 65536, "file": {"filename": "over-itself"}})
    path = write_overlay(work.path("over-itself"), name, None)
    check(drivers_of(path) == ["qcow2", "file", "raw", "file"], "a window over the image itself")


def check_endless_nesting(work):
    """Each image's guest data would be the next image: storage nests to a limit, and no further."""
    tree = {"driver": "qcow2", "file": {"driver": "raw", "offset": 0, "file": {
        "driver": "qcow2", "file": {"filename": "nest"}}}}
    path = write_overlay(work.path("nest"), json_name(tree), None)
    check_refused(work, [path], "nest")


def check_long_chains(work):
    write_overlay(work.path("0.qcow2"), "base", "raw")
    write(work.path("base"), b"\0" * 65536)
    for index in range(1, MOST_IMAGES):
        write_overlay(work.path(f"{index}.qcow2"), f"{index - 1}.qcow2", "qcow2")
    # More files than a process may have open unless it asks for more.
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    longest = work.path(f"{MOST_IMAGES - 2}.qcow2")
    check(len(drivers_of(longest)) == 2 * MOST_IMAGES, "the longest chain does not open")
    started = time.monotonic()
    message = refuse([STRATA, "map", work.path(f"{MOST_IMAGES - 1}.qcow2")])
    check("a graph has at most 2048" in message, f"says {message!r}")
    check(time.monotonic() - started < 20, "it took too long to find the chain too long")


def test():
    with Workspace() as work:
        check_cycles(work)
        check_cycle_of_three(work)
        check_windows_are_no_cycle(work)
        check_endless_nesting(work)
        check_long_chains(work)


main(test)
