#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-reload.py - on SIGHUP the files are read anew: new connections get the new certificate, old ones
# go on, and a bad file changes nothing.
import os
import shutil
import signal
import ssl
import subprocess

import nbd

from nbd_case import CONTENT, Workspace, equal, make_seed_images
from nbd_client import READ, Client, Closed
from functions import STRATA_NBD, read_text, run, wait_for_log
from tls_case import Authority


def hang_up(process, sentence):
    """Sends SIGHUP and waits for the sentence to be logged once more."""
    before = read_text(process.log).count(sentence)
    process.send_signal(signal.SIGHUP)
    wait_for_log(process, sentence, before + 1)


def can_enter(path, tls):
    client = Client(path)
    try:
        client.start_tls(tls).go("")
        return True
    except (Closed, ssl.SSLError):
        return False
    finally:
        client.close()


def certificates(work, image):
    ours, other = Authority(work).issue_server(), Authority(work, "other").issue_server()
    path, process = work.serve_process("-v", "--tls=require", "--tls-certificates", ours.dir, image)
    trusts_ours, trusts_other = ours.client(), other.client()
    old = Client(path).start_tls(trusts_ours).go("")

    os.rename(ours.path("server-key.pem"), ours.path("away"))
    hang_up(process, "stay as they were")
    wait_for_log(process, "server-key.pem")
    equal(can_enter(path, trusts_ours), True, "the old certificate after a bad one")

    for name in ("ca-cert.pem", "server-cert.pem", "server-key.pem"):
        shutil.copy(other.path(name), ours.path(name + ".new"))
        os.rename(ours.path(name + ".new"), ours.path(name))
    hang_up(process, "were read anew")
    equal(can_enter(path, trusts_ours), False, "the old certificate after a new one")
    equal(can_enter(path, trusts_other), True, "the new certificate")
    equal(old.simple(READ, 0, 100), (0, CONTENT[:100]), "a connection of before")
    old.close()


def revocations(work, image):
    """A list in force that is gone, or that nothing can be read of, stays in force."""
    pki = Authority(work, "revoking").issue_server().issue_client("alice").issue_client("gone")
    pki.revoke("gone")
    crl = pki.path("ca-crl.pem")
    path, process = work.serve_process("-v", "--tls=require", "--tls-certificates", pki.dir,
                                       "--tls-verify-peer", image)
    os.rename(crl, pki.path("away"))
    hang_up(process, f"stay as they were: the list of revoked certificates '{crl}' is gone")
    os.symlink("nowhere", crl)
    hang_up(process, f"stay as they were: cannot read '{crl}'")
    equal(can_enter(path, pki.client("gone")), False, "one that was revoked by a list that is gone")
    equal(can_enter(path, pki.client("alice")), True, "one that was not")
    # Nor can a server begin with what only looks like no list.
    done = subprocess.run([STRATA_NBD, "--tls-certificates", pki.dir, image], text=True, timeout=60,
                          stderr=subprocess.PIPE)
    equal((done.returncode, f"cannot read '{crl}'" in done.stderr), (1, True), "at the start")
    os.unlink(crl)
    work.serve("--tls-certificates", pki.dir, image)


def psk_client(path, file, user):
    handle = nbd.NBD()
    handle.set_tls(nbd.TLS_REQUIRE)
    handle.set_tls_psk_file(file)
    handle.set_tls_username(user)
    try:
        handle.connect_unix(path)
        return bytes(handle.pread(4, 0)) == CONTENT[:4]
    except nbd.Error:
        return False


def keys(work, image):
    file = work.path("keys.psk")
    run("psktool", "-u", "alice", "-p", file)
    path, process = work.serve_process("-v", "--tls=require", "--tls-psk", file, image)
    equal(psk_client(path, file, "alice"), True, "alice")
    run("psktool", "-u", "bob", "-p", file)
    equal(psk_client(path, file, "bob"), False, "bob before the signal")
    hang_up(process, "were read anew")
    equal(psk_client(path, file, "bob"), True, "bob after it")
    shutil.copy(file, work.path("good"))
    with open(file, "w", encoding="ascii") as empty:
        empty.write("alice:nonsense\n")
    hang_up(process, "stay as they were")
    equal("nonsense" in read_text(process.log), False, "a key in the log")
    equal(psk_client(path, work.path("good"), "alice"), True, "alice with the keys of before")


def main():
    with Workspace() as work:
        image = make_seed_images(work)
        certificates(work, image)
        revocations(work, image)
        keys(work, image)


main()
