#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# sandbox-becomes-another-user.py - --user and --group: every thread has that user, that group and no
# right of root; what was opened before is served; what cannot be had is an error before anything is
# served.
import grp
import json
import os
import pwd
import subprocess

from remote_case import nbd_node, over
from sandbox_case import (CONFINED, STRATA_NBD, Workspace, check, connect, copy_for_everybody, main,
                          make_image, read_text, run, status_of_threads, stop, wait_for,
                          wait_until_confined)

NOBODY = pwd.getpwnam("nobody")
MAIL = grp.getgrnam("mail")
NO_SUCH_ID = 54321


def check_ids(process, uid, gid, groups):
    expected = {"Uid": f"{uid} " * 4, "Gid": f"{gid} " * 4, "Groups": groups}
    if uid != 0:
        expected.update(CapEff="0" * 16, CapPrm="0" * 16, CapInh="0" * 16)
    for key, value in expected.items():
        for thread, found in status_of_threads(process, key).items():
            check(found == value.strip(), f"{key} of thread {thread} is {found}, not {value}")


def serve_as(work, image, uid, gid, groups, *arguments):
    socket, server = work.serve_process(*arguments, image)
    wait_until_confined(server)
    check_ids(server, uid, gid, groups)
    check(connect(socket).pread(65536, 0) == b"\7" * 65536, f"{arguments}: wrong bytes")
    return socket, server


def check_users(work):
    """The image is root's alone: it is open before."""
    image, uid, gid = make_image(work, "a.qcow2"), NOBODY.pw_uid, NOBODY.pw_gid
    os.chmod(image, 0o600)
    groups = str(gid)
    serve_as(work, image, uid, gid, groups, "--user=nobody")
    serve_as(work, image, uid, gid, groups, f"--user={uid}", CONFINED)
    serve_as(work, image, uid, MAIL.gr_gid, str(MAIL.gr_gid), "--user=nobody", "--group=mail")
    serve_as(work, image, NO_SUCH_ID, NO_SUCH_ID, str(NO_SUCH_ID), f"--user={NO_SUCH_ID}",
             f"--group={NO_SUCH_ID}")
    serve_as(work, image, 0, MAIL.gr_gid, str(MAIL.gr_gid), "--group=mail")


def check_remote_layer(work):
    """Threads that are there before change their user as well."""
    top = work.path("top.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", top, "1M")
    words = over(top, {"driver": "raw", "file": nbd_node(work.serve(make_image(work, "b.qcow2")))})
    serve_as(work, "json:" + json.dumps(words), NOBODY.pw_uid, NOBODY.pw_gid, str(NOBODY.pw_gid),
             "--user=nobody")


def check_what_is_left(work):
    """Where the user may not remove files, the pid file is empty at the end; the next start
    replaces the socket. Where it may, both go."""
    image = make_image(work, "c.qcow2")
    socket, server = serve_as(work, image, NOBODY.pw_uid, NOBODY.pw_gid, str(NOBODY.pw_gid),
                              "--user=nobody")
    check(stop(server) == 0, "the server failed at its end")
    check(os.path.getsize(socket + ".pid") == 0, "the pid file names a process that is gone")
    os.mkdir(work.path("run"))
    os.chown(work.path("run"), NOBODY.pw_uid, -1)
    os.chmod(work.dir, 0o711)
    socket, pid_file = work.path("run/s"), work.path("run/pid")
    server = work.start_with_pid_file(pid_file, STRATA_NBD, "-k", socket, "--pid-file", pid_file,
                                      "--user=nobody", image)
    wait_until_confined(server)
    stop(server)
    check(os.listdir(work.path("run")) == [], f"left behind: {os.listdir(work.path('run'))}")


def check_warnings(work):
    """What SIGHUP reads again, and the user cannot read."""
    config, image = work.path("exports.conf"), make_image(work, "f.qcow2")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"[f]\nimage = {image}\n")
    for mode, warns in ((0o600, True), (0o644, False)):
        os.chmod(config, mode)
        server = work.serve_process("--user=nobody", "--config", config)[1]
        stop(server)
        log = read_text(server.log)
        check((f"the user of --user cannot read '{config}'" in log) == warns, f"{mode:o}: {log}")


def check_run(work):
    """The command is that user, too, and reaches the private socket."""
    folder = work.path("t")
    os.mkdir(folder)
    os.chmod(folder, 0o1777)
    os.chmod(work.dir, 0o711)
    said = run(STRATA_NBD, "--user=nobody", "--run", 'id -u; nbdinfo --size "$uri"',
               make_image(work, "d.qcow2"), env={**os.environ, "TMPDIR": folder})
    check(said == f"{NOBODY.pw_uid}\n1048576\n", f"the command says {said}")
    check(os.listdir(folder) == [], f"left behind: {os.listdir(folder)}")


def check_refused(work, words, *arguments, server=(STRATA_NBD,)):
    socket = work.path("refused")
    done = subprocess.run([*server, *arguments, "-k", socket, work.path("a.qcow2")],
                          capture_output=True, text=True, check=False, timeout=30)
    check(done.returncode == 1 and words in done.stderr and not os.path.exists(socket),
          f"{arguments}: {done}")


def server_of_nobody(work):
    """The program, as nobody runs it."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
            *copy_for_everybody(work)]


def check_errors(work):
    check_refused(work, "--user: there is no user 'no\\nbody2' (see", "--user=no\nbody2")
    check_refused(work, "--group: there is no group '-1'", "--group=-1")
    check_refused(work, "--user: there is no user '4294967295'", "--user=4294967295")
    check_refused(work, f"--user: no user has the number {NO_SUCH_ID}, so that nothing tells its "
                  "group; --group does", f"--user={NO_SUCH_ID}")
    os.chmod(work.path("a.qcow2"), 0o644)
    check_refused(work, "--user: only root may become somebody else; start the server as root, or "
                  "as that user without the option", "--user=mail", server=server_of_nobody(work))


def check_ordinary_user(work):
    """The sandbox needs no rights of root."""
    folder = work.path("own")
    os.mkdir(folder)
    os.chown(folder, NOBODY.pw_uid, -1)
    image, socket = make_image(work, "e.qcow2"), folder + "/s"
    os.chmod(image, 0o644)
    server = work.start(*server_of_nobody(work), "-k", socket, CONFINED, image)
    wait_for("the socket", lambda: os.path.exists(socket) or server.poll() is not None)
    check(server.poll() is None, f"it ended: {read_text(server.log)}")
    wait_until_confined(server)
    check(connect(socket).pread(65536, 0) == b"\7" * 65536, "an ordinary user: wrong bytes")
    stop(server)
    check(os.listdir(folder) == [], "the socket is left behind")


def test():
    check(os.getuid() == 0, "this test is about becoming somebody else, and has to begin as root")
    with Workspace() as work:
        os.chmod(work.dir, 0o711)
        check_users(work)
        check_remote_layer(work)
        check_what_is_left(work)
        check_warnings(work)
        check_run(work)
        check_errors(work)
        check_ordinary_user(work)


main(test)
