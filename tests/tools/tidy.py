#!/usr/bin/env python3
"""clang-tidy over all of the project's sources; exits 1 when it finds something.

usage: tidy.py BUILD_DIRECTORY [FILE...]

A source that passed is looked at again only when it, a header that it includes, or .clang-tidy has
changed: the build directory remembers.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIDY = "clang-tidy-19"


def sources(build):
    """Each of our translation units once, with its object as ninja knows it."""
    found = {}
    for command in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(command["file"])
        if path.is_relative_to(ROOT) and not path.is_relative_to(build):
            found.setdefault(path, re.search(r" -o (\S+)", command["command"]).group(1))
    return found


def dependencies(build):
    """Of every object: the project's files that it was made from."""
    listed = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], text=True,
                            capture_output=True, check=True).stdout
    by_object = {}
    current = None
    for line in listed.splitlines():
        if line.startswith("    "):
            path = pathlib.Path(os.path.normpath(build / line.strip()))
            if current is not None and path.is_relative_to(ROOT):
                current.append(path)
        elif ":" in line:
            current = by_object.setdefault(line.split(":")[0], [])
    return by_object


def digest(paths):
    total = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    for path in sorted(set(paths)):
        total.update(str(path).encode())
        total.update(path.read_bytes() if path.exists() else b"")
    return total.hexdigest()


def tidy(build, path):
    done = subprocess.run([TIDY, "-p", str(build), "--quiet", str(path)], text=True,
                          capture_output=True, cwd=ROOT)
    return done.returncode == 0, done.stdout


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    wanted = {(ROOT / name).resolve() for name in sys.argv[2:]}
    stamps = build / "tidy"
    stamps.mkdir(exist_ok=True)
    made_from = dependencies(build)
    todo = []
    for path, output in sorted(sources(build).items()):
        if wanted and path not in wanted:
            continue
        state = digest([path, *made_from.get(output, [])])
        stamp = stamps / str(path.relative_to(ROOT)).replace("/", ".")
        if not stamp.exists() or stamp.read_text() != state:
            todo.append((path, stamp, state))
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (path, stamp, state), (good, text) in zip(
                todo, pool.map(lambda item: tidy(build, item[0]), todo)):
            if good:
                stamp.write_text(state)
            else:
                bad += 1
                print(text, end="", flush=True)
    print(f"clang-tidy: {len(todo)} sources looked at, {bad} with findings")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
