# SPDX-License-Identifier: LGPL-2.1-or-later
# seed-raw-window-with-offset-and-size.py - the seed case (b): a raw window cuts and shifts the map.
from seed_case import SEED_CONTENT, Workspace, check_case, main, make_seed_images

WITH_OFFSET = """
#   from  to     base:allocation  depth  claimant
    0     960K   0                2      base
    960K  1984K  3                0      -
    1984K 3008K  0                1      overlay
    3008K 4032K  3                0      -
    4032K 5056K  3                1      overlay
    5056K 10176K 3                0      -
"""

WITH_SIZE = """
    0     1M     0                2      base
    1M    2M     3                0      -
    2M    2560K  0                1      overlay
"""

WITH_OFFSET_AND_SIZE = """
    0     960K   0                2      base
    960K  1984K  3                0      -
    1984K 3008K  0                1      overlay
    3008K 4032K  3                0      -
    4032K 4096K  3                1      overlay
"""


def spec(work, options):
    return ["--image-opts",
            f"driver=raw,{options},node-name=window,file.driver=qcow2,file.node-name=overlay,"
            f"file.file.driver=file,file.file.filename={work.path('overlay.qcow2')},"
            f"file.backing.driver=qcow2,file.backing.node-name=base,"
            f"file.backing.file.driver=file,file.backing.file.filename={work.path('base.qcow2')}"]


def test():
    with Workspace() as work:
        make_seed_images(work)
        for options, table, image in (
                ("offset=64k", WITH_OFFSET, SEED_CONTENT[65536:]),
                ("size=2560k", WITH_SIZE, SEED_CONTENT[:2560 << 10]),
                ("offset=65536,size=4M", WITH_OFFSET_AND_SIZE,
                 SEED_CONTENT[65536:65536 + (4 << 20)])):
            check_case(work, spec(work, options), table, image,
                       path=["window", "overlay", "base"], layers=["overlay", "base"])


main(test)
