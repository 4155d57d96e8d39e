#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# exports-access-by-tls.py - rules about TLS: which exports there are depends on the key that a client
# has used, and a client without TLS sees those that are for everybody.
import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from functions import Workspace, check, nbd, run  # noqa: E402

RULES = {"public": "any", "encrypted": "tls", "for alice": "psk=alice", "for both": "psk=alice;psk=bob",
         "pattern": "psk=a*", "certified": "dn=*;san=DNS:*"}


def connect_as(work, socket, user):
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    if user is not None:
        handle.set_tls(nbd.TLS_REQUIRE)
        handle.set_tls_psk_file(work.path(user + ".psk"))
        handle.set_tls_username(user)
    handle.connect_unix(socket)
    return handle


def list_names(work, socket, user):
    handle, names = connect_as(work, socket, user), []
    handle.opt_list(lambda name, _description: names.append(name))
    handle.opt_abort()
    return names


def may(work, socket, user, name):
    handle = connect_as(work, socket, user)
    handle.set_export_name(name)
    try:
        handle.opt_go()
    except nbd.Error:
        return False
    return handle.get_size() == 1 << 20


with Workspace() as work:
    run("truncate", "-s", "1M", work.path("disk.raw"))
    keys = {"alice": "ab" * 32, "bob": "cd" * 32}
    for user, key in keys.items():
        pathlib.Path(work.path(user + ".psk")).write_text(f"{user}:{key}\n", encoding="utf-8")
    pathlib.Path(work.path("keys.psk")).write_text(
        "".join(f"{user}:{key}\n" for user, key in keys.items()), encoding="utf-8")
    os.chmod(work.path("keys.psk"), 0o600)
    pathlib.Path(work.path("exports.conf")).write_text("".join(
        f"[{name}]\nimage = disk.raw\nformat = raw\non-demand = on\naccess = {rule}\n"
        for name, rule in RULES.items()), encoding="utf-8")
    socket = work.serve("--config", work.path("exports.conf"), "--tls=on", "--tls-psk",
                        work.path("keys.psk"))
    for user, expected in ((None, ["public"]), ("bob", ["public", "encrypted", "for both"]),
                           ("alice", ["public", "encrypted", "for alice", "for both"])):
        told = list_names(work, socket, user)
        check(told == expected, f"{user} sees {told}, not {expected}")
        for name in RULES:
            check(may(work, socket, user, name) == (name in expected),
                  f"whether {user} is served \"{name}\" is not as the list says")
