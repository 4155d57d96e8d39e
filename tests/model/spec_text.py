# SPDX-License-Identifier: LGPL-2.1-or-later
# spec_text.py - how a graph of the model is written down: in headers, and on a command line.
import json
import os

from model import File, Luks, Nbd, Qcow2, Raw


def needs_options(node):
    """Whether a file name alone does not open the node as it is meant."""
    return isinstance(node, Qcow2) and (node.key or node.opened_snapshot)


def needs_user(node):
    """Whether there is something below that no header may name."""
    return any(needs_options(below) or isinstance(below, (Luks, Nbd)) for below in node.preorder())


def is_bare_layer(node):
    return isinstance(node, Raw) and isinstance(node.children["file"], File) and \
        node.offset is None and node.given_size is None


def is_in_one_file(node):
    """Whether the node is found by the name of its file and of its format."""
    return is_bare_layer(node) or \
        isinstance(node, Qcow2) and isinstance(node.children["file"], File)


def is_self_contained(node):
    """Whether opening the node's file by its format's name is enough to get all of it."""
    if is_bare_layer(node):
        return True
    return is_in_one_file(node) and not needs_options(node) and \
        not node.names_wrong_backing and \
        ("backing" not in node.children or node.names_backing == "whole") and \
        ("data-file" not in node.children or node.names_data_file)


def header_name(node, rng):
    """(name, format, how much of the node that says) by which an overlay's header can name a
    node; the name is None if it cannot."""
    if isinstance(node, File):
        return None, None, None
    if is_in_one_file(node) and (is_self_contained(node) or needs_user(node)):
        filename = node.leaf().filename
        name = rng.choice((filename, os.path.basename(filename)))
        return name, node.driver, "whole" if is_self_contained(node) else "file"
    if needs_user(node):
        return None, None, None
    return "json:" + to_json(spec(node, None)), node.driver, "whole"


def to_json(tree):
    return json.dumps(tree, separators=(",", ":"))


def spec(node, rng):
    """The blockdev form. With rng, some nodes are named, and what headers say is left to them."""
    tree = {"driver": node.driver}
    if rng and rng.randrange(100) < 40:
        node.name = f"n{rng.randrange(1 << 30)}"
        tree["node-name"] = node.name
    tree.update(options(node, rng))
    left_out = header_roles(node, rng)
    for role, child in node.children.items():
        if role not in left_out and not isinstance(node, Nbd):
            tree[role] = spec(child, rng)
    if isinstance(node, Qcow2) and node.names_backing == "file" and (rng and rng.randrange(2)):
        del tree["backing"]["file"]  # and what was said there of names
        for below in node.children["backing"].children["file"].preorder():
            below.name = None
    if isinstance(node, Qcow2) and node.names_wrong_backing and "backing" not in node.children:
        tree["backing"] = None
    return tree


def options(node, rng):
    """What a driver wants to know besides its children."""
    if isinstance(node, File):
        return {"filename": node.filename}
    if isinstance(node, Nbd):
        return nbd_options(node, rng)
    if isinstance(node, Luks):
        return {"key-secret": node.key}
    if isinstance(node, Raw):
        given = {"offset": node.offset, "size": node.given_size}
        return {key: value for key, value in given.items() if value is not None}
    tree = {}
    if node.opened_snapshot:
        tree["snapshot"] = node.snapshot_word
    if node.key:
        tree["encrypt"] = {"key-secret": node.key}
        if rng is None or rng.randrange(2):  # QEMU wants it in JSON
            tree["encrypt"]["format"] = node.encryption_format
    return tree


def nbd_options(node, rng):
    tree = {"server": {"type": "unix", "path": node.socket}}
    if node.export or (rng and rng.randrange(2)):
        tree["export"] = node.export
    return tree


def header_roles(node, rng):
    """The children that the spec leaves to the header."""
    if not isinstance(node, Qcow2):
        return ()
    roles = []
    if node.names_backing == "whole" and (rng is None or rng.randrange(2)):
        roles.append("backing")
    if node.names_data_file and (rng is None or rng.randrange(2)):
        roles.append("data-file")
    return roles


def says_null(tree):
    return any(value is None or (isinstance(value, dict) and says_null(value))
               for value in tree.values())


def dotted(tree, prefix=""):
    """Nested members to "file.driver" keys."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(dotted(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def image_opts(tree, rng):
    words = []
    for key, value in dotted(tree).items():
        if isinstance(value, int) and value and value % 1024 == 0 and rng.randrange(2):
            value = f"{value // 1024}{rng.choice('kK')}"
        words.append(f"{key}=" + str(value).replace(",", ",,"))
    return ",".join(words)


def arguments(top, rng):
    """Command line words that name the graph, in one of the three forms; names some nodes."""
    if is_self_contained(top) and rng.randrange(2):
        probed = isinstance(top, Qcow2) and rng.randrange(2)
        return ([] if probed else ["--format", top.driver]) + [top.leaf().filename]
    tree = spec(top, rng)
    if not says_null(tree) and rng.randrange(2):
        return ["--image-opts", image_opts(tree, rng)]
    return ["json:" + to_json(dotted(tree) if rng.randrange(4) == 0 else tree)]


def qemu_argument(top):
    """The graph for QEMU's tools."""
    return "json:" + to_json(spec(top, None))
