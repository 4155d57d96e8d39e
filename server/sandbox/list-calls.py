#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the names of this machine's system calls as initializers of a C array, at build time.

list-calls.py COMPILER [ARGUMENT]...: what the compiler's <sys/syscall.h> says. Looking each number up
when the server starts would take as long as all else that it does to start.
"""

import re
import subprocess
import sys

macros = subprocess.run([*sys.argv[1:], "-E", "-dM", "-x", "c", "-"],
                        input="#include <sys/syscall.h>\n", stdout=subprocess.PIPE, check=True,
                        text=True).stdout
for name in sorted(re.findall(r"^#define SYS_(\w+) __NR_\1$", macros, flags=re.M)):
    print(f'[__NR_{name}] = "{name}",')
