#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs every command of README.md, in order and in one shell, as a reader would.

A block marked 'sh' is run; a block marked 'text' that follows is what it prints, to the letter.
The one exception is the command that runs this test: it must be the one that CI runs.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(os.environ.get("SRCDIR", Path(__file__).parents[2])).resolve()
TEST_COMMAND = "./tests/run"
END_OF_BLOCK = "-- end of block --"


def blocks_of(text):
    """Pairs of commands and the output that is promised for them, or None."""
    pattern = r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?"
    return [match.groups() for match in re.finditer(pattern, text, flags=re.S | re.M)]


def make_folder(folder):
    """A checkout as the reader sees it, with an image of their own in it."""
    for name in ("tools", "tests", ".build", "docs"):
        (folder / name).symlink_to(SOURCE / name)
    for command in (
            ["qemu-img", "create", "-q", "-f", "qcow2", "base.qcow2", "10M"],
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2",
             "overlay.qcow2"],
            ["qemu-io", "-f", "qcow2", "-c", "write -q -P 1 0 1M", "base.qcow2"]):
        subprocess.run(command, cwd=folder, check=True)


def run(blocks, folder):
    """What each block prints; stops at the first command that fails."""
    script = "set -e\n" + "".join(
        f"{commands}echo '{END_OF_BLOCK}'\n" for commands, _ in blocks)
    done = subprocess.run(["bash"], input=script, cwd=folder, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False,
                          env=dict(os.environ, LC_ALL="C.UTF-8", DESTDIR=str(folder / "root")))
    outputs = done.stdout.split(END_OF_BLOCK + "\n")
    if done.returncode != 0:
        commands = blocks[len(outputs) - 1][0]
        sys.exit(f"README.md: status {done.returncode} of\n{commands}which printed\n{outputs[-1]}")
    return outputs


def check_demo_words(folder):
    """tools/demo, which is built by now, tells help and mistakes, and fails as its programs do."""
    (folder / "cut.qcow2").write_bytes((folder / "base.qcow2").read_bytes()[:3000])
    for words, status, promised in (
            (["-h"], 0, "Usage: tools/demo"),
            (["--help"], 0, "Usage: tools/demo"),
            (["-x", "overlay.qcow2"], 2, "'-x' is no option of it"),
            (["overlay.qcow2", "--json"], 2, "'--json' is no option of it"),
            (["overlay.qcow2", "--format"], 2, "--format needs a value"),
            (["base.qcow2", "overlay.qcow2"], 2, "2 images are given"),
            (["none.qcow2"], 1, "none.qcow2): cannot open it: No such file"),
            (["cut.qcow2"], 1, "lies past the end of the file")):
        done = subprocess.run(["./tools/demo", *words], cwd=folder, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != status or promised not in done.stdout:
            sys.exit(f"tools/demo {' '.join(words)}: status {done.returncode}, prints {done.stdout}")


def main():
    blocks = blocks_of((SOURCE / "README.md").read_text(encoding="utf-8"))
    if TEST_COMMAND + "\n" not in [commands for commands, _ in blocks]:
        sys.exit(f"README.md does not give {TEST_COMMAND} as the test command")
    if f"exec {TEST_COMMAND} " not in (SOURCE / ".ci/run").read_text(encoding="utf-8"):
        sys.exit(f".ci/run does not run {TEST_COMMAND}")

    blocks = [block for block in blocks if block[0] != TEST_COMMAND + "\n"]
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        outputs = run(blocks, Path(folder))
        check_demo_words(Path(folder))
    for (commands, promised), printed in zip(blocks, outputs):
        if promised is not None and promised != printed:
            sys.exit(f"README.md says that\n{commands}prints\n{promised}but it prints\n{printed}")


main()
