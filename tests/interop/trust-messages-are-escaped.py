# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-messages-are-escaped.py - names with line ends, escape sequences and bytes that are no text,
# in headers, of files, of snapshots and bitmaps: they reach a terminal as escapes only, in messages
# and in what the programs print.
import json
import os
import re
import subprocess

from trust_case import (STRATA, STRATA_NBD, Workspace, check, json_name, main, refuse, run, write,
                        write_data_file_image, write_overlay)

EVIL = "evil\x1b]0;owned\x07\r\n\x7f\u202estrata - all is well"
TERMINAL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae|\xc2[\x80-\x9f]")


def check_harmless(output, what):
    found = TERMINAL.search(output)
    check(not found, f"{what}: {found and found.group()!r} reaches the terminal: {output!r}")


def check_refusal(work, *words):
    for command in ([STRATA, "map"], [STRATA, "info", "--json"], [STRATA, "why"],
                    [STRATA_NBD, "--socket", work.socket()]):
        command = command + list(words) + (["0"] if "why" in command else [])
        message = refuse(command)
        check(len(message.splitlines()) == 1, f"{command} says {message!r}")
        check_harmless(message.encode(errors="surrogateescape"), command)


def check_headers(work):
    path = work.path("overlay.qcow2")
    for backing, backing_format in ((EVIL, "raw"), (EVIL, None), ("base", EVIL), ("../" + EVIL, "raw"),
                                    (json_name({"driver": EVIL}), None), ("json:{" + EVIL, None),
                                    (json_name({"driver": "raw", EVIL: 1, "file": {}}), None),
                                    (json_name({"driver": "raw", "file": {"filename": EVIL}}), None),
                                    (json_name({"driver": "raw", "offset": EVIL,
                                                "file": {"filename": "base"}}), None),
                                    ("nbd://" + EVIL, "raw"), (EVIL[:4] + ":" + EVIL, "raw")):
        check_refusal(work, write_overlay(path, backing, backing_format))
    check_refusal(work, write_data_file_image(work.path("data.qcow2"), EVIL))
    check_refusal(work, "--allow", work.path(EVIL), path)
    check_refusal(work, work.path(EVIL))
    os.mkfifo(work.path(EVIL))
    check_refusal(work, work.path(EVIL))
    check_refusal(work, write_overlay(path, EVIL))
    os.unlink(work.path(EVIL))


def check_printed(work):
    """What opens, and is then shown."""
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path(EVIL), "1M")
    run("qemu-img", "snapshot", "-c", EVIL, work.path(EVIL))
    run("qemu-img", "bitmap", "--add", work.path(EVIL), EVIL)
    overlay = write_overlay(work.path("overlay.qcow2"), EVIL, "qcow2")
    for words in (["info"], ["info", "--json"], ["map", "--leaf"], ["map", "--json"],
                  ["map", "--picture"], ["map", "--bitmap", EVIL], ["why", "--json"], ["why"]):
        done = subprocess.run([STRATA, *words, overlay, *(["0"] if "why" in words else [])],
                              capture_output=True, timeout=30)
        check(done.returncode == 0, f"strata {words}: {done.stderr}")
        check_harmless(done.stdout + done.stderr, f"strata {words}")
    info = json.loads(run(STRATA, "info", "--json", overlay))
    image = next(node for node in info["nodes"] if "snapshots" in node)
    check([image["snapshots"][0]["name"], image["bitmaps"][0]["name"]] == [EVIL, EVIL],
          f"JSON gives the names whole: {image}")
    for words in (["--bitmap", EVIL + "!"], ["--snapshot", EVIL]):
        check_harmless(refuse([STRATA, "map", *words, overlay]).encode(), words)


def test():
    with Workspace() as work:
        write(work.path("base"), b"\0" * 65536)
        check_headers(work)
        check_printed(work)


main(test)
