# SPDX-License-Identifier: LGPL-2.1-or-later
# mirror_case.py - what the mirror-*.py tests share: two served seed graphs and a QMP client.
import json
import subprocess

from functions import TestFailure, check, run
from seed_case import SEED_CONTENT

# name, options of the raw node, what the image holds.
GRAPHS = (
    ("raw over overlay over base", "", SEED_CONTENT),
    ("raw window with offset over overlay over base", "offset=65536,", SEED_CONTENT[65536:]),
    ("raw window with offset and size over overlay over base", "offset=65536,size=4194304,",
     SEED_CONTENT[65536:65536 + (4 << 20)]),
)


def image_opts(work, raw_options):
    return (f"driver=raw,{raw_options}file.driver=qcow2,file.file.driver=file,"
            f"file.file.filename={work.path('overlay.qcow2')}")


def convert_to_bytes(work, filename, file_format):
    """The content of a finished target image, by QEMU."""
    plain = work.path("plain.raw")
    run("qemu-img", "convert", "-f", file_format, "-O", "raw", filename, plain)
    with open(plain, "rb") as file:
        return file.read()


class StorageDaemon:
    """qemu-storage-daemon with a QMP monitor on its standard input and output."""

    def __init__(self, work, *arguments):
        self.errors = work.path("qemu-storage-daemon.log")
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                ["qemu-storage-daemon", "--chardev", "stdio,id=qmp", "--monitor",
                 "chardev=qmp,mode=control", *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        work.processes.append(self.process)
        self.process.log = self.errors
        self.events = []
        check("QMP" in self.receive(), "qemu-storage-daemon does not greet")
        self.command("qmp_capabilities")

    def receive(self):
        line = self.process.stdout.readline()
        if not line:
            with open(self.errors, encoding="utf-8") as errors:
                raise TestFailure(f"qemu-storage-daemon ended: {errors.read()}")
        return json.loads(line)

    def command(self, name, **arguments):
        self.process.stdin.write(json.dumps({"execute": name,
                                             "arguments": arguments}).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            message = self.receive()
            if "event" in message:
                self.events.append(message)
                continue
            check("return" in message, f"{name}: {message}")
            return message["return"]

    def wait_for(self, *names):
        """The next event of one of these names; what came before it is dropped."""
        while True:
            event = self.events.pop(0) if self.events else self.receive()
            if event.get("event") in names:
                return event

    def mirror(self, source, target, target_format, size):
        """blockdev-mirror sync=full of a node into a new image; to its end."""
        run("qemu-img", "create", "-q", "-f", target_format, target, str(size))
        self.command("blockdev-add", **{"node-name": "target", "driver": target_format,
                                        "file": {"driver": "file", "filename": target}})
        self.command("blockdev-mirror", **{"job-id": "mirror", "device": source,
                                           "target": "target", "sync": "full"})
        event = self.wait_for("BLOCK_JOB_READY", "BLOCK_JOB_COMPLETED")
        check(event["event"] == "BLOCK_JOB_READY", f"the mirror failed: {event}")
        self.command("block-job-complete", device="mirror")
        event = self.wait_for("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")
        check(event["event"] == "BLOCK_JOB_COMPLETED" and "error" not in event["data"],
              f"the mirror failed: {event}")

    def quit(self):
        self.command("quit")
        check(self.process.wait(30) == 0, "qemu-storage-daemon did not end well")


def bytes_that_differ(one, other):
    if len(one) != len(other):
        return max(len(one), len(other))
    return sum(a != b for a, b in zip(one, other))
