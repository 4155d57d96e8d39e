#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# exports-access.py - who meets no rule of an export sees no such export: the same bytes as for a name
# that there is not, whatever is asked, and nothing of it is opened.
import contextlib
import os
import pathlib
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from functions import (STRATA_NBD, Workspace, check, connect, nbd, read_text, run,  # noqa: E402
                       wait_for_log, wait_until)
from nbd_client import (ERR_UNKNOWN, OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST_META,  # noqa: E402
                        OPT_SET_META, Client, Closed)


def write_config(work):
    uid, gid = os.getuid(), os.getgid()
    rules = {"open": "any", "mine": f"user={uid}", "ours": f"group={gid}",
             "else": f"user={uid + 1};cid=7;psk=x;dn=*;san=DNS:*;tls",
             "both": f"user={uid};net=127.0.0.0/8", "ipv4": "net=127.0.0.1", "ipv6": "net=::1/128"}
    groups = [f"[{name}]\nimage = disk.raw\non-demand = on\naccess = {rule}\n"
              for name, rule in rules.items()]
    pathlib.Path(work.path("exports.conf")).write_text("\n".join(groups), encoding="utf-8")


def list_names(uri_or_path):
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    if uri_or_path.startswith("/"):
        handle.connect_unix(uri_or_path)
    else:
        handle.connect_uri(uri_or_path)
    names = []
    handle.opt_list(lambda name, _description: names.append(name))
    handle.opt_abort()
    return names


def ask(path, option, data):
    """All replies of the server to one option; after EXPORT_NAME, that it hung up."""
    client = Client(path)
    if option == OPT_SET_META:
        client.use_structured()
    try:
        return client.option(option, data)
    except Closed:
        return "hung up"
    finally:
        client.close()


def check_same_answers(path, hidden, missing):
    """INFO, GO, the context options and EXPORT_NAME."""
    check(len(hidden) == len(missing), "names of one length are compared")
    for option, make in ((OPT_INFO, Client.info_data), (OPT_GO, Client.info_data),
                         (OPT_LIST_META, Client.meta_data), (OPT_SET_META, Client.meta_data),
                         (OPT_EXPORT_NAME, str.encode)):
        answers = [ask(path, option, make(name)) for name in (hidden, missing)]
        check(answers[0] == answers[1], f"option {option}: {hidden} gets {answers[0]}, "
              f"and {missing} gets {answers[1]}")
        check(answers[0] == "hung up" or answers[0][-1][0] == ERR_UNKNOWN,
              f"option {option}: {hidden} gets {answers[0]}")


def may(path, name):
    try:
        connect(path, export=name).shutdown()
    except nbd.Error:
        return False
    return True


def is_open(process, filename):
    folder = f"/proc/{process.pid}/fd"
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(f"{folder}/{fd}") == filename:
                return True
    return False


def check_unix(work):
    path, process = work.serve_process("--config", work.path("exports.conf"))
    check(list_names(path) == ["open", "mine", "ours", "both"], f"listed: {list_names(path)}")
    for hidden in ("else", "ipv4", "ipv6"):
        check(not may(path, hidden), f"{hidden} is served")
        check(not may(path, hidden + "@disk.raw"), f"{hidden} is served from a node down")
        check_same_answers(path, hidden, "none")
        check_same_answers(path, hidden + "@disk.raw", "none@disk.raw")
    check(not is_open(process, work.path("disk.raw")), "an image was opened for who may not see it")
    for name in ("open", "mine", "ours", "both", "mine@disk.raw"):
        check(may(path, name), f"{name} is not served")
    peer = f"from unix uid {os.getuid()} pid {os.getpid()}: NBD_OPT_"
    for reason in ('there is no export "none"', 'its access rules keep the client from "else"'):
        wait_until(lambda: re.search(f"{peer}[A-Z]+: {reason}", read_text(process.log)),
                   f"'{reason}' in the log")
    for option in ("INFO", "GO", "LIST_META_CONTEXT", "SET_META_CONTEXT", "EXPORT_NAME"):
        log = wait_for_log(
            process, f'NBD_OPT_{option}: its access rules keep the client from "ipv4"')
    check("the access rule 'psk=x' needs --tls-psk" in log and "'tls' needs --tls-cert" in log and
          log.count("the access rule 'dn=*' needs --tls-verify-peer") == 1,
          f"rules that nobody can meet: {log}")


def start_tcp(work, host, *arguments):
    pid_file = work.path(f"pid.{len(work.processes)}")
    process = work.start_with_pid_file(pid_file, STRATA_NBD, "-b", host, "-p", "0", "--pid-file",
                                       pid_file, *arguments)
    while "listening on" not in read_text(process.log):
        check(process.poll() is None, read_text(process.log))
    return read_text(process.log).split("listening on ")[1].split()[0]


def check_tcp(work):
    uri = start_tcp(work, "127.0.0.1", "--config", work.path("exports.conf"))
    check(list_names(uri) == ["open", "both", "ipv4"], f"by IPv4 there are {list_names(uri)}")
    if os.path.exists("/proc/net/if_inet6") and read_text("/proc/net/if_inet6"):
        uri = start_tcp(work, "::1", "--config", work.path("exports.conf"))
        check(list_names(uri) == ["open", "ipv6"], f"by IPv6 there are {list_names(uri)}")


def check_command_line(work):
    os.mkdir(work.path("dir"))
    os.link(work.path("disk.raw"), work.path("dir/file"))
    arguments = ("--directory", work.path("dir"), "-f", "raw", "-x", "disk", work.path("disk.raw"))
    path = work.serve("--access", f"user={os.getuid() + 1}", *arguments)
    check(not list_names(path), f"somebody else sees {list_names(path)}")
    check_same_answers(path, "disk", "none")
    check_same_answers(path, "file", "none")
    path = work.serve("--access", "cid=1", "--access", f"user={os.getuid()}", *arguments)
    check(list_names(path) == ["disk", "disk@disk.raw", "file"], f"there are {list_names(path)}")
    check(may(path, "file"), "the file is not served")


with Workspace() as work:
    run("truncate", "-s", "1M", work.path("disk.raw"))
    write_config(work)
    check_unix(work)
    check_tcp(work)
    check_command_line(work)
