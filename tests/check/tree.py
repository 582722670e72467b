# SPDX-License-Identifier: MIT
"""What the gates share: the tracked files of the project and C text without comments and strings."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWN_FOLDERS = ("runtime", "plugins", "bench", "tests")


def files(*suffixes, under=()):
    """Tracked files as paths relative to the root."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", *under], capture_output=True, text=True, check=True).stdout
    return [pathlib.Path(name) for name in listed.splitlines()
            if name.endswith(suffixes or "") and (ROOT / name).is_file()]


def sources():
    return files(".c", ".h", under=OWN_FOLDERS)


def text(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def blank(match):
    return '""' if match[0][0] == '"' else re.sub(r"[^\n]", " ", match[0])


def code(path):
    """C or PHP text in which comments are blank and strings are empty; lines keep their numbers."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text(path), flags=re.S)


def line_of(body, match):
    return body.count("\n", 0, match.start()) + 1


def finish(faults):
    """Prints the faults; the exit code says whether there were any."""
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)
