# SPDX-License-Identifier: LGPL-2.1-or-later
# seed-raw-over-overlay-over-base.py - the seed case (a): what lies in the base behind an overlay
# behind a raw node is data of the base, and no hole.
from seed_case import SEED_CONTENT, Workspace, check_case, main, make_seed_images

EXPECTED = """
#   from to   base:allocation  depth  claimant
    0    1M   0                2      base.qcow2
    1M   2M   3                0      -
    2M   3M   0                1      overlay.qcow2
    3M   4M   3                0      -
    4M   5M   3                1      overlay.qcow2
    5M   10M  3                0      -
"""


def test():
    with Workspace() as work:
        make_seed_images(work)
        opts = f"driver=raw,file.driver=qcow2,file.file.filename={work.path('overlay.qcow2')}"
        check_case(work, ["--image-opts", opts], EXPECTED, SEED_CONTENT,
                   path=["overlay.qcow2-raw", "overlay.qcow2", "base.qcow2"],
                   layers=["overlay.qcow2", "base.qcow2"])


main(test)
