#!/usr/bin/env python3
"""clang-tidy over all of the project's sources, and every header compiled alone; exits 1 when there
is something to mend.

usage: tidy.py BUILD_DIRECTORY [FILE...]

A file that passed is looked at again only when it, a header that it includes, or .clang-tidy has
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


def headers():
    listed = subprocess.run(["git", "ls-files", "*.h"], text=True, capture_output=True, check=True,
                            cwd=ROOT).stdout
    return [ROOT / name for name in listed.splitlines()]


def included(path, seen):
    """The project's files that a header includes, and what those include."""
    if path in seen or not path.exists():
        return seen
    seen.add(path)
    for name in re.findall(r'^#include "([^"]+)"', path.read_text(), re.M):
        included(ROOT / name, seen)
    return seen


def flags(build):
    """What a source that sees everything is compiled with."""
    for command in json.loads((build / "compile_commands.json").read_text()):
        if command["file"].endswith("cmd/kvd/server.cc"):
            words = command["command"].split()
            words = words[next(i for i, word in enumerate(words) if "clang++" in word):]
            return words[:words.index("-o")] + ["-fsyntax-only", "-x", "c++-header",
                                                "-Wno-pragma-once-outside-header"]
    sys.exit("error: cmd/kvd/server.cc is not in compile_commands.json")


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
    compiler = flags(build)

    def compile_alone(path):
        done = subprocess.run([*compiler, str(path)], text=True, capture_output=True, cwd=build)
        return done.returncode == 0, done.stderr

    work = [(path, [path, *made_from.get(output, [])], lambda path: tidy(build, path))
            for path, output in sorted(sources(build).items())]
    work += [(path, included(path, set()), compile_alone) for path in headers()]
    todo = []
    for path, parts, look in work:
        if wanted and path not in wanted:
            continue
        state = digest(parts)
        stamp = stamps / str(path.relative_to(ROOT)).replace("/", ".")
        if not stamp.exists() or stamp.read_text() != state:
            todo.append((path, look, stamp, state))
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looked = {pool.submit(look, path): (stamp, state) for path, look, stamp, state in todo}
        for done in concurrent.futures.as_completed(looked):
            good, text = done.result()
            stamp, state = looked[done]
            if good:
                stamp.write_text(state)
            else:
                bad += 1
                print(text, end="", flush=True)
    print(f"clang-tidy and headers: {len(todo)} files looked at, {bad} with findings")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
