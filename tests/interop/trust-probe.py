# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-probe.py - the format of a backing file that no header tells: an error that names the ways
# out; --backing-format says it, --probe lets it be recognised, and --backing-format goes before.
from trust_case import (MIB, Workspace, check, check_refused, drivers_of, json_name, main, write,
                        write_overlay)

GUESS = "does not guess"


def make_images(work):
    write(work.path("plain"), b"\x77" * MIB)
    write_overlay(work.path("base.qcow2"), "plain")
    write(work.path("base.vmdk"), b"KDMV" + b"\0" * 65532)
    write(work.path("base.vdi"), b"\0" * 0x40 + b"\x7f\x10\xda\xbe" + b"\0" * 65536)


def over(work, name):
    return write_overlay(work.path("overlay.qcow2"), name, None)


def check_default(work):
    for name in ("plain", "base.qcow2", json_name({"file": {"filename": "plain"}})):
        check_refused(work, [over(work, name)], GUESS, "--backing-format", "--probe",
                      "backing.driver")
    check(drivers_of("--backing-format", "raw", over(work, "base.qcow2")) ==
          ["qcow2", "file", "raw", "file"], "--backing-format raw")
    check_refused(work, ["--backing-format", "vmdk", over(work, "plain")], "vmdk")


def check_probe(work):
    chain = ["qcow2", "file", "qcow2", "file", "raw", "file"]
    check(drivers_of("--probe", over(work, "base.qcow2")) == chain, "--probe of a qcow2 image")
    check(drivers_of("--probe", over(work, "plain")) == chain[:2] + chain[4:], "--probe of bytes")
    nested = json_name({"file": {"driver": "raw", "file": {"filename": "base.qcow2"}}})
    check(drivers_of("--probe", over(work, nested)) ==
          ["qcow2", "file", "qcow2", "raw", "file", "raw", "file"], "--probe through a window")
    check(drivers_of("--probe", "--image-opts", f"driver=qcow2,file.filename={over(work, 'plain')},"
                     f"backing.file.filename={work.path('base.qcow2')}") == chain,
          "--probe of a backing file that the user names")
    for name, found in (("base.vmdk", "vmdk"), ("base.vdi", "vdi")):
        check_refused(work, ["--probe", over(work, name)], name, found, "--backing-format raw")
        check(drivers_of("--probe", "--backing-format", "raw", over(work, name)) ==
              ["qcow2", "file", "raw", "file"], "--backing-format goes before --probe")


def check_said_is_not_probed(work):
    """What a header says is so, whatever the bytes look like."""
    overlay = write_overlay(work.path("overlay.qcow2"), "base.qcow2", "raw")
    check(drivers_of("--probe", overlay) == ["qcow2", "file", "raw", "file"], "a header says raw")
    overlay = write_overlay(work.path("overlay.qcow2"), "plain", "qcow2")
    check_refused(work, ["--probe", overlay], "plain", "not a qcow2 image")


def check_probe_confines(work):
    """A guest's header in a raw disk leads no further than any other."""
    write_overlay(work.path("guest"), "/etc/passwd")
    check_refused(work, ["--probe", over(work, "guest")], "/etc/passwd", "--allow DIR")


def test():
    with Workspace() as work:
        make_images(work)
        check_default(work)
        check_probe(work)
        check_said_is_not_probed(work)
        check_probe_confines(work)


main(test)
