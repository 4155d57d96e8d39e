# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-servers-in-headers.py - a header leads to an NBD server only with --allow-protocols nbd, in
# whatever words it names it; never to another protocol; what comes from a server leads to no file
# that is named relative to it; and a header can neither make us wait nor read what a writer holds.
import time

from trust_case import (MIB, Workspace, check, check_refused, drivers_of, json_name, main, write,
                        write_data_file_image, write_overlay)

ALLOW = ("--allow-protocols", "nbd")
CHAIN = ["qcow2", "file", "raw", "nbd"]


def over(work, name, backing_format="raw"):
    return write_overlay(work.path("overlay.qcow2"), name, backing_format)


def nbd(socket, **options):
    return {"driver": "nbd", "server": {"type": "unix", "path": socket}, **options}


def check_names_of_servers(work, socket):
    raw = {"driver": "raw", "file": nbd(socket)}
    for name in (f"nbd+unix:///?socket={socket}", f"nbd:unix:{socket}", json_name(raw),
                 json_name({"driver": "raw", "file": raw})):
        overlay = over(work, name, None if name.startswith("json:") else "raw")
        check_refused(work, [overlay], "overlay.qcow2", "--allow-protocols nbd")
        found = drivers_of(*ALLOW, overlay)
        check(found in (CHAIN, CHAIN[:3] + CHAIN[2:]), f"{name} opens as {found}")
    check_refused(work, [write_data_file_image(work.path("data.qcow2"),
                                               f"nbd+unix:///?socket={socket}")],
                  "--allow-protocols nbd")
    check_refused(work, [over(work, f"nbd+unix:///?socket={socket}", None), *ALLOW], "does not guess")
    check(drivers_of("--probe", *ALLOW, over(work, f"nbd+unix:///?socket={socket}", None)) == CHAIN,
          "--probe of a server's bytes")


def check_other_protocols(work):
    for name in ("http://localhost/x", "https://localhost/x", "ssh://localhost/x", "host_device:/dev/sda",
                 "nbd+ssh://localhost/x", "fat:/etc", "blkdebug::/etc/passwd", "fd:0", "rbd:pool/x"):
        check_refused(work, [*ALLOW, over(work, name)], "overlay.qcow2", "protocol|nbd")
    for driver in ("host_device", "host_cdrom", "curl", "https", "ssh", "vvfat", "quorum", "null-co"):
        for tree in ({"driver": driver, "filename": "/etc/passwd"},
                     {"driver": "raw", "file": {"driver": driver, "filename": "/etc/passwd"}},
                     {"driver": "qcow2", "file": {"filename": "x"}, "backing": {"driver": driver}}):
            check_refused(work, [*ALLOW, over(work, json_name(tree), None)], "overlay.qcow2",
                          f'driver "{driver}"')
    check_refused(work, ["--allow-protocols", "nbd,http", over(work, "x")], "http")
    check_refused(work, ["--allow-protocols", "", over(work, "x")], "protocol|--allow-protocols")


def check_image_on_a_server(work):
    """Its header is as little trusted as any, and has no folder of its own."""
    write(work.path("secret"), b"\x55" * MIB)
    for name in ("secret", "./secret", json_name({"driver": "raw", "file": {"filename": "secret"}})):
        held = write_overlay(work.path("held.qcow2"), name, None if name[0] == "j" else "raw")
        socket = work.serve_with_qemu("-f", "raw", held)
        name = json_name({"driver": "qcow2", "file": nbd(socket)})
        check_refused(work, [*ALLOW, over(work, name, None)], "secret", "relative")
        check_refused(work, ["--image-opts", "driver=qcow2,file.driver=nbd,file.server.type=unix,"
                             f"file.server.path={socket}"], "secret", "relative")
    held = write_overlay(work.path("held.qcow2"), "/etc/passwd")
    socket = work.serve_with_qemu("-f", "raw", held)
    check_refused(work, ["--image-opts", "driver=qcow2,file.driver=nbd,file.server.type=unix,"
                         f"file.server.path={socket}"], "/etc/passwd", "--allow DIR")


def check_no_waiting(work):
    """A header that wants us to wait a day for its server."""
    tree = {"driver": "raw", "file": nbd(work.path("nobody"), **{"open-timeout": 86400})}
    started = time.monotonic()
    check_refused(work, [*ALLOW, over(work, json_name(tree), None)], "nobody")
    check(time.monotonic() - started < 20, "it waited")


def test():
    with Workspace() as work:
        write(work.path("base"), b"\x33" * MIB)
        socket = work.serve_with_qemu("-f", "raw", work.path("base"))
        check_names_of_servers(work, socket)
        check_other_protocols(work)
        check_image_on_a_server(work)
        check_no_waiting(work)


main(test)
