# SPDX-License-Identifier: LGPL-2.1-or-later
# bad-input-damaged-ranges.py - damage that concerns a range: status and reads of that range fail
# with an error reply, the log names file and offset, and the rest serves on the same connection.
import re

from bad_input import (CLUSTER, Image, Workspace, check, check_bad_range, check_rest_serves,
                       compose, connect, eight_clusters, l2_entry_offset, main, patch_be,
                       read_text, stop, wait_until, write)

COPIED = 1 << 63


def serve_and_check(work, name, blob, bad, log_patterns, status_fails=True):
    """bad: (start, end) in the image."""
    path = write(work.path(name), blob)
    socket, process = work.serve_process("--format", "qcow2", path)
    handle = connect(socket, ["base:allocation", "qemu:allocation-depth"])
    check_bad_range(name, handle, bad[0], bad[1] - bad[0], status_fails)
    check_rest_serves(handle, *bad)
    handle.shutdown()
    check(process.poll() is None, f"{name}: the server ended")
    for pattern in (re.escape(name), *log_patterns):
        wait_until(lambda: re.search(pattern, read_text(process.log)),
                   f"{name}: '{pattern}' in the log")
    check(stop(process) == 0, f"{name}: the server's exit status is {process.returncode}")

    handle = connect(work.serve_with_nbdkit("format=qcow2", path), ["base:allocation"])
    check_bad_range(f"{name} by nbdkit", handle, bad[0], bad[1] - bad[0], status_fails)
    check_rest_serves(handle, *bad)


def check_l2_entry(work, name, entry, log_pattern, status_fails=True):
    """Cluster 3's L2 entry is overwritten."""
    image, composed = eight_clusters()
    at = l2_entry_offset(image, composed, 3)
    patch_be(composed.blob, at, 8, entry(composed))
    serve_and_check(work, name, composed.blob, (3 * CLUSTER, 4 * CLUSTER), [log_pattern],
                    status_fails)


def check_l1_entry(work, name, entry, log_pattern):
    """With 1 KiB clusters an L2 table maps 128 KiB: the second one clusters 2 and 3 of 64 KiB."""
    image = Image(8 * CLUSTER, cluster_bits=10)
    image.units = {unit: bytes((unit * 1024 // CLUSTER + 1,)) * 1024 for unit in range(512)}
    composed = compose(image)
    patch_be(composed.blob, composed.l1_offset + 8, 8, entry(composed))
    serve_and_check(work, name, composed.blob, (2 * CLUSTER, 4 * CLUSTER), [log_pattern])


def check_truncated(work):
    """The file ends before the data of the cluster that lies last in it."""
    image, composed = eight_clusters()
    cluster = max(composed.hosts, key=composed.hosts.get)
    blob = composed.blob[:composed.hosts[cluster]]
    serve_and_check(work, "truncated.qcow2", blob, (cluster * CLUSTER, (cluster + 1) * CLUSTER),
                    [f"{composed.hosts[cluster]:#x}"], status_fails=False)


def test():
    with Workspace() as work:
        check_l2_entry(work, "l2-misaligned.qcow2",
                       lambda c: (c.hosts[3] + 512) | COPIED, "0x[0-9a-f]+")
        check_l2_entry(work, "l2-past-the-end.qcow2", lambda c: (1 << 50) | COPIED,
                       "0x4000000000000", status_fails=False)
        check_l1_entry(work, "l1-misaligned.qcow2", lambda c: (c.l2_offsets[1] + 512) | COPIED,
                       "0x[0-9a-f]+")
        check_l1_entry(work, "l1-past-the-end.qcow2", lambda c: (1 << 50) | COPIED,
                       "0x4000000000000")
        check_l2_entry(work, "compressed.qcow2", lambda c: (1 << 62) | c.hosts[3],
                       "[Cc]ompress", status_fails=False)
        check_truncated(work)


main(test)
