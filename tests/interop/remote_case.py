# SPDX-License-Identifier: LGPL-2.1-or-later
# remote_case.py - what the remote-*.py tests share: names of servers, and a web server that serves
# ranges of files.
import http.server
import pathlib
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from functions import STRATA, TestFailure, Workspace, check, main, run, whole_maps, connect, read_all

__all__ = ["STRATA", "TestFailure", "WebServer", "Workspace", "check", "connect", "main",
           "map_of", "nbd_node", "over", "read_all", "run", "serve_by_nbdkit", "serve_by_qemu",
           "uri_of", "whole_maps"]


def uri_of(socket, export=""):
    return f"nbd+unix:///{export}?socket={socket}"


def nbd_node(socket, **options):
    """An "nbd" node in blockdev's words; '_' in a key stands for '-'."""
    node = {"driver": "nbd", "server": {"type": "unix", "path": socket}}
    node.update((key.replace("_", "-"), value) for key, value in options.items())
    return node


def over(overlay, backing):
    """The words for an overlay whose backing file is that node."""
    return {"driver": "qcow2", "file": {"driver": "file", "filename": overlay}, "backing": backing}


def map_of(words):
    """What "strata map" says: lines of start, length, content, depth, layer."""
    return [line.split() for line in run(STRATA, "map", *words).splitlines()[1:]]


def serve_by_qemu(work, *arguments):
    """qemu-nbd as the arguments say; returns its socket."""
    socket = work.socket()
    work.start_with_pid_file(socket + ".pid", "qemu-nbd", f"--socket={socket}",
                             f"--pid-file={socket}.pid", "--persistent", "--shared=0",
                             "--read-only", *arguments)
    return socket


def serve_by_nbdkit(work, *arguments):
    """nbdkit with any plugin; returns its socket."""
    socket = work.socket()
    work.start_with_pid_file(socket + ".pid", "nbdkit", "--foreground", "--unix", socket,
                             "--pidfile", socket + ".pid", *arguments)
    return socket


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Python's own handler sends whole files only."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        data = pathlib.Path(self.translate_path(self.path)).read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = 0, len(data)
        if wanted:
            start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(data))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if with_body:
            self.wfile.write(data[start:end])

    def log_message(self, *_):
        pass


class WebServer:
    """A web server for a folder, at a free port of this machine."""

    def __init__(self, folder):
        def handler(*arguments):
            return RangeHandler(*arguments, directory=folder)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
