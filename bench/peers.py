# SPDX-License-Identifier: LGPL-2.1-or-later
# peers.py - who is measured, and how each is told to serve an image read-only to any number of
# clients.
import json
import os

from servers import STRATA_NBD

OURS = "strata-nbd"
EXPORT = "disk"  # qemu-storage-daemon wants a name


class Address:
    """Where a server listens: a Unix socket, or a TCP port of this machine."""

    def __init__(self, path, port=None):
        self.path, self.port = path, port

    def uri(self, export):
        if self.port:
            return f"nbd://127.0.0.1:{self.port}/{export}"
        return f"nbd+unix:///{export}?socket={self.path}"


def strata_nbd(image, address):
    where = ["-k", address.path]
    if address.port:
        where = ["-b", "127.0.0.1", "-p", str(address.port)]
    return [STRATA_NBD, *where, "-f", image.format, image.path], ""


def with_options(make_command, options):
    def make(image, address):
        (program, *words), export = make_command(image, address)
        return [program, *options, *words], export
    return make


def qemu_nbd(program, aio, image, address):
    where = ["-k", address.path]
    if address.port:
        where = ["-b", "127.0.0.1", "-p", str(address.port)]
    options = ["-A", "-r", "-t", "-e", "0", f"--aio={aio}"]
    return [program, *where, *options, "-f", image.format, image.path], ""


def block_device(files, image_format, aio):
    """A chain as blockdev options; below the first node, names are of no use."""
    node = {"driver": image_format, "read-only": True,
            "file": {"driver": "file", "filename": files[0], "aio": aio, "read-only": True}}
    if len(files) > 1:
        node["backing"] = block_device(files[1:], image_format, aio)
    return node


def storage_daemon(program, aio, image, address):
    where = f"addr.type=unix,addr.path={address.path}"
    if address.port:
        where = f"addr.type=inet,addr.host=127.0.0.1,addr.port={address.port}"
    node = {"node-name": "node", **block_device(image.files, image.format, aio)}
    export = f"type=nbd,id=export,node-name=node,name={EXPORT},allocation-depth=on"
    return [program, "--blockdev", json.dumps(node), "--nbd-server", f"{where},max-connections=0",
            "--export", export], EXPORT


def nbdkit(image, address):
    where = ["-U", address.path]
    if address.port:
        where = ["-i", "127.0.0.1", "-p", str(address.port)]
    return ["nbdkit", "-f", "-r", *where, "file", image.path], ""


def qemu_peers(folder=None):
    """{name: maker of (command, export name)} for the QEMU of @folder, or of $PATH."""
    mark = f" ({folder})" if folder else ""
    peers = {}
    for name, make in {"qemu-nbd": qemu_nbd, "qemu-storage-daemon": storage_daemon}.items():
        program = os.path.join(folder, name) if folder else name
        for aio in ("threads", "io_uring"):
            peers[name + (" io_uring" if aio == "io_uring" else "") + mark] = \
                lambda image, address, make=make, program=program, aio=aio: \
                make(program, aio, image, address)
    return peers


def all_servers(folders):
    """Ours first; @folders: of further QEMUs."""
    servers = {OURS: strata_nbd, **qemu_peers()}
    for folder in folders:
        servers.update(qemu_peers(folder))
    servers["nbdkit file"] = nbdkit
    return servers
