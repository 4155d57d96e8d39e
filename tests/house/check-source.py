#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks the rules of HACKING.md that a program can check, and first that it can fail."""

import os
import re
import sys
import tempfile
from pathlib import Path

SKIPPED_FOLDERS = re.compile(r"\.git|\.?build.*|__pycache__")
MAX_FUNCTION_LINES = 60
MAX_COLUMNS = 100

# Functions that may be longer: "file:function" and the reason.
LONG_FUNCTIONS = {}

BANNED_IN_C = {
    r"\b(strcpy|strcat|v?sprintf|gets|strtok|alloca|g_alloca|g_newa)\s*\(":
        "has no bound; use the GLib function that allocates",
    r"\b(atoi|atol|atoll|strtol|strtoul)\s*\(": "hides overflow; use g_ascii_string_to_unsigned",
    r"\b(system|popen)\s*\(": "runs a shell; spawn the program with an argument list",
    r"\bgoto\b": "use g_autoptr and early return",
}
# An outsider must not be able to reach an assertion; tests may assert as they like. Here our own
# invariants are asserted, after everything from outside has been checked:
ASSERTIONS_AFTER_VALIDATION = {
    "lib/resolve.c": "every answer of a driver has passed the one checking wrapper",
}
BANNED_IN_PRODUCT = {
    r"\b(g_assert\w*|assert|abort|g_abort|g_error)\s*\(":
        "ends the process; return a GError with STRATA_ERROR_INTERNAL for a bug of ours",
}
BANNED_IN_LIB = {
    r"\b_?exit\s*\(": "a library does not end its process",
    r"\b(g_print|g_printerr|printf|fprintf|puts)\s*\(": "a library does not print; set a GError",
}
# Put together from pieces, so that this file keeps the rule.
BANNED_EVERYWHERE = {
    r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b": "finish it, or open an issue",
    r"/(ro" + r"ot|ho" + r"me|wo" + r"rk)/\w": "a path of one machine",
}
VAGUE_NAMES = re.compile(r"(utils?|misc|common|helpers?)\.[ch]")

# Whose "quoted" headers a folder may use, besides those that stand beside the file. Those of lib/late/
# stand for headers of other libraries, and so are for all who may use these.
QUOTED_FROM = {
    "include": [],
    "lib": ["lib", "lib/late"],
    "server": ["server", "lib/late"],
    "plugins": ["plugins"],
    "tools": ["tools"],
    "tests": ["lib", "lib/late", "tests/unit", "server", "plugins", "tools"],
    "docs": [],
    "bench": ["server"],
}
PRODUCT = ("include", "lib", "server", "plugins", "tools")


def source_files(root):
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(s for s in subfolders if not SKIPPED_FOLDERS.fullmatch(s))
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file() and path.name != "LICENSE":
                yield path


def strip_comments_and_strings(text):
    """The same text with comments and string contents blanked, so that lines keep their numbers."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def search(patterns, text):
    for pattern, reason in patterns.items():
        for match in re.finditer(pattern, text):
            yield text.count("\n", 0, match.start()) + 1, f"'{match.group(0).strip()}': {reason}"


def check_text(path, text):
    yield from search(BANNED_EVERYWHERE, text)
    if not text.endswith("\n"):
        yield text.count("\n") + 1, "the last line has no end"
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
        if len(line) > MAX_COLUMNS and path.suffix in (".c", ".h"):
            yield number, f"longer than {MAX_COLUMNS} columns"
    is_source = path.suffix in (".c", ".h", ".py", ".sh") or text.startswith("#!")
    if is_source and "SPDX-License-Identifier: LGPL-2.1-or-later" not in text[:200]:
        yield 1, "no SPDX line"


def check_functions(name, code):
    """In our layout a function's body is what stands between '{' and '}' in the first column."""
    for match in re.finditer(r"^(\w+)\(.*?\n\{\n(.*?)^\}", code, flags=re.S | re.M):
        lines = match.group(2).count("\n")
        if lines > MAX_FUNCTION_LINES and f"{name}:{match.group(1)}" not in LONG_FUNCTIONS:
            number = code.count("\n", 0, match.start()) + 1
            yield number, f"{match.group(1)}() has {lines} lines, more than {MAX_FUNCTION_LINES}"


def check_includes(root, path, folder, text):
    for match in re.finditer(r'^#include (["<])([^">]+)', text, flags=re.M):
        number = text.count("\n", 0, match.start()) + 1
        mark, header = match.groups()
        places = [path.parent] + [root / place for place in QUOTED_FROM[folder]]
        if folder == "plugins" and header == "engine.h":
            places.append(root / "server")
        found = [(place / header).resolve() for place in places if (place / header).is_file()]
        if mark == '"' and not any(place in header.parents for header in found
                                   for place in [root / folder] + places):
            yield number, f"'{header}' is not for {folder}/ to include (see HACKING.md)"
        elif mark == "<" and folder == "include" and not re.match(r"strata/|glib", header):
            yield number, f"'{header}': public headers need GLib and each other only"


def check_c(root, path, name, text):
    folder = name.split("/")[0]
    code = strip_comments_and_strings(text)
    if folder not in QUOTED_FROM:
        yield 1, f"'{folder}' is not one of the folders of HACKING.md"
        return
    yield from search(BANNED_IN_C, code)
    if folder in PRODUCT and name not in ASSERTIONS_AFTER_VALIDATION:
        yield from search(BANNED_IN_PRODUCT, code)
    if folder == "lib":
        yield from search(BANNED_IN_LIB, code)
    if VAGUE_NAMES.fullmatch(path.name):
        yield 1, "a file name that does not say what the file is for"
    if not re.match(rf"/\* SPDX[^\n]*\n \* {re.escape(path.name)} - ", text):
        yield 1, f"does not begin with the SPDX line and ' * {path.name} - purpose'"
    yield from check_functions(name, code)
    yield from check_includes(root, path, folder, text)


def check_tree(root):
    complaints = []
    for path in source_files(root):
        name = str(path.relative_to(root))
        text = path.read_text(encoding="utf-8")
        found = list(check_text(path, text))
        if path.suffix in (".c", ".h"):
            found += check_c(root, path, name, text)
        complaints += [f"{name}:{number}: {words}" for number, words in sorted(found)]
    return complaints


def check_tests_are_listed(root):
    """A script that nobody runs passes for ever. (Names with '_' are modules that tests import.)"""
    listed = (root / "tests/meson.build").read_text(encoding="utf-8")
    words = {"interop": "{}", "house": "{}", "unit": "test-{}.c"}
    for suite, word in words.items():
        for path in sorted((root / "tests" / suite).glob(word.format("*"))):
            name = path.name if suite != "unit" else path.stem.removeprefix("test-")
            if path.is_file() and "_" not in name and f"'{name}'" not in listed:
                yield f"tests/{suite}/{path.name}: not a word of tests/meson.build"


BAD_TREE = {
    "lib/a.c": "/* SPDX-License-Identifier: LGPL-2.1-or-later\n * a.c - bad. */\n"
               '#include "engine.h"\n#include "../server/engine.h"\n'
               "static void\nf(char *a)\n{\n" + "    a++;\n" * 61 + "}\n"
               "static void\ng(char *a)\n{\n    strcpy(a, a);\n    goto out;\n    g_assert(a);\n"
               "    exit(1); \n}",
    "server/engine.h": "/* SPDX-License-Identifier: LGPL-2.1-or-later\n * engine.h - good. */\n",
    "tools/utils.c": "/* TO" + "DO */\n",
}
BAD_TREE_COMPLAINTS = [
    "lib/a.c:3: 'engine.h' is not for lib/",
    "lib/a.c:4: '../server/engine.h' is not for lib/",
    "lib/a.c:6: f() has 61 lines",
    "lib/a.c:73: 'strcpy('",
    "lib/a.c:74: 'goto'",
    "lib/a.c:75: 'g_assert('",
    "lib/a.c:76: 'exit('",
    "lib/a.c:76: blanks",
    "lib/a.c:77: the last line has no end",
    "tools/utils.c:1: 'TO" + "DO'",
    "tools/utils.c:1: a file name that does not say",
    "tools/utils.c:1: does not begin with the SPDX line",
    "tools/utils.c:1: no SPDX line",
]


def check_that_it_can_fail():
    with tempfile.TemporaryDirectory() as folder:
        for name, text in BAD_TREE.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        complaints = check_tree(Path(folder).resolve())
    if len(complaints) != len(BAD_TREE_COMPLAINTS) or any(
            not any(c.startswith(wanted) for c in complaints) for wanted in BAD_TREE_COMPLAINTS):
        sys.exit("the checker misjudges its own bad example:\n" + "\n".join(complaints))


def main():
    root = Path(os.environ.get("SRCDIR", Path(__file__).parents[2])).resolve()
    check_that_it_can_fail()
    complaints = check_tree(root) + list(check_tests_are_listed(root))
    if complaints:
        sys.exit("\n".join(complaints))


main()
