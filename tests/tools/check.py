#!/usr/bin/env python3
"""Checks what no compiler does: directions of includes, forbidden names, lengths, the errors' table.

Prints one line per violation and exits 1 if there is one. `--self-test` plants violations and sees
them reported.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

# What each folder may include of the others (and of itself).
ALLOWED = {
    "base": set(),
    "proto": set(),
    "raft": {"base", "flotilla"},
    "kv": {"raft", "base"},
    "shard": {"kv", "raft", "base"},
    "client": {"base", "flotilla", "google"},
    "cmd": {"client", "shard", "kv", "raft", "base", "flotilla", "google"},
}
CORE_MAY_INCLUDE = {"base/strong.h", "base/types.h", "base/check.h", "base/bytes.h",
                    "base/coding.h", "base/random.h", "base/planted.h"}
FOLDERS = set(ALLOWED) | {"tests", "flotilla", "google"}
GRPC_PLACES = ("raft/transport/", "cmd/", "client/")
FORBIDDEN = re.compile(
    r"std::this_thread|sleep_for|\busleep\(|std::random_device|system_clock::now|"
    r"steady_clock::now|\bstd::thread\b|\bstd::jthread\b")
UNDONE = re.compile(r"TODO|FIXME|XXX")
LINES_MAX = 600
# In the table for what is to come: nothing returns them yet.
PROMISED_REASONS = set()
# Tests that are told of reasons and sort them; nothing there provokes one.
SORTING_TESTS = {"tests/client/retry_test.cc", "tests/client/errors_test.cc"}


def tracked(root):
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                         cwd=root, capture_output=True, text=True)
    if out.returncode == 0 and out.stdout:
        return [root / line for line in out.stdout.splitlines() if (root / line).is_file()]
    return [path for path in root.rglob("*") if path.is_file()]


def check_includes(name, text, report):
    top = name.split("/")[0]
    if top not in ALLOWED:
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#include ([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        target = match.group(2)
        folder = target.split("/")[0]
        where = f"{name}:{number}"
        if match.group(1) == '"' and folder in FOLDERS:
            if folder != top and folder not in ALLOWED[top]:
                report(f"{where}: {top}/ must not include {target}")
            if name.startswith("raft/core/") and not target.startswith("raft/core/") \
                    and target not in CORE_MAY_INCLUDE:
                report(f"{where}: the core must not include {target}")
        if name.startswith("raft/core/") and match.group(1) == "<" and "/" in target:
            report(f"{where}: the core must not include <{target}>")
        if target.startswith("grpc") and not name.startswith(GRPC_PLACES):
            report(f"{where}: gRPC appears in the transport, cmd/ and client/ only")
        if target.startswith("rocksdb/db.h") and not name.startswith("kv/"):
            report(f"{where}: RocksDB's DB appears in kv/ only")


def check_readme(root, folder, report):
    readme = root / folder / "README.md"
    if not readme.is_file():
        report(f"{folder}/: has no README.md")
        return
    used = set()
    for path in tracked(root):
        name = path.relative_to(root).as_posix()
        if name.startswith(folder + "/") and path.suffix in (".h", ".cc"):
            for target in re.findall(r'#include "([^"]+)"', path.read_text()):
                used.add(target.split("/")[0])
    used = (used & FOLDERS) - {folder}
    used = {"proto" if one in ("flotilla", "google") else one for one in used} - {folder}
    match = re.search(r"^Includes:(.*)$", readme.read_text(), re.M)
    said = {one.strip(" `./") for one in match.group(1).split(",")} - {"", "nothing"} if match else None
    if said is None:
        report(f"{folder}/README.md: lacks the line `Includes: ...` ({', '.join(sorted(used))})")
    elif said != used:
        report(f"{folder}/README.md: says it includes {sorted(said)}, but it is {sorted(used)}")


def check_errors(root, report):
    table = root / "base/reasons.inc"
    reference = root / "proto/ERRORS.md"
    if not table.is_file():
        return
    names = re.findall(r'FLOTILLA_REASON\(\w+, "(\w+)"', table.read_text())
    text = reference.read_text() if reference.is_file() else ""
    for name in names:
        if f"| `{name}` |" not in text:
            report(f"proto/ERRORS.md: has no line for {name}")


def check_reasons_tested(root, report):
    """Each reason is named by a test that provokes it; a loop over the table names none."""
    table = root / "base/reasons.inc"
    if not table.is_file():
        return
    tests, product = "", ""
    for path in tracked(root):
        name = path.relative_to(root).as_posix()
        if re.fullmatch(r"tests/.*_test\.(cc|py)", name) and name not in SORTING_TESTS:
            tests += path.read_text()
        elif name.split("/")[0] in ALLOWED and path.suffix in (".h", ".cc"):
            product += path.read_text()
    for enumerator, name in re.findall(r'FLOTILLA_REASON\((\w+), "(\w+)"', table.read_text()):
        if name in PROMISED_REASONS:
            if re.search(rf"Reason::{enumerator}\b", product):
                report(f"tests/tools/check.py: {name} is returned by now: test it, do not promise it")
        elif not re.search(rf'Reason::{enumerator}\b|"{name}"', tests):
            report(f"tests/: no test provokes {name}")


def check_traps(root, report):
    """Every test that the table of known traps names is there."""
    table = root / "tests/TRAPS.md"
    if not table.is_file():
        return
    for line in table.read_text().splitlines():
        row = re.fullmatch(r"\| ([^|]+) \| [^|]+ \| `([^`]+)` `(\w+)\.(\w+)` \|", line)
        if row is None:
            if line.startswith("|") and not line.startswith(("| trap |", "| ---")):
                report(f"tests/TRAPS.md: not a row of the table: {line}")
            continue
        trap, name, suite, test = row.groups()
        path = root / name
        text = path.read_text() if path.is_file() else ""
        found = (rf"TEST(_F|_P)?\({suite}, {test}\)" if path.suffix == ".cc" else
                 rf"class {suite}\b(.(?!\nclass ))*def {test}\(")
        if not re.search(found, text, re.S):
            report(f"tests/TRAPS.md: {name} has no test {suite}.{test} ({trap})")


def check(root):
    violations = []
    report = violations.append
    for path in tracked(root):
        name = path.relative_to(root).as_posix()
        if path.suffix not in (".h", ".cc"):
            continue
        text = path.read_text()
        lines = text.count("\n")
        if lines > LINES_MAX:
            report(f"{name}: {lines} lines; at most {LINES_MAX}")
        check_includes(name, text, report)
        in_product = name.split("/")[0] in ALLOWED
        for number, line in enumerate(text.splitlines(), 1):
            if in_product and not name.startswith("base/") and FORBIDDEN.search(line):
                report(f"{name}:{number}: clocks, threads, sleeps and chance appear in base/ only")
            if in_product and "NewIterator(" in line and name != "kv/database.cc":
                report(f"{name}:{number}: rows are gone through by Database::Iterate()")
            if UNDONE.search(line):
                report(f"{name}:{number}: left undone in words")
    for folder in ALLOWED:
        if (root / folder).is_dir():
            check_readme(root, folder, report)
    check_errors(root, report)
    check_reasons_tested(root, report)
    check_traps(root, report)
    return violations


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for name, text in {
            "base/a.h": '#include "raft/group.h"\n',
            "raft/core/b.cc": "#include <grpcpp/grpcpp.h>\n",
            "kv/c.cc": "std::this_thread::sleep_for(x);\n",
            "kv/d.cc": "\n" * 700,
            "kv/f.cc": "db.NewIterator(options);\n",
            "kv/e.cc": "return Error(Reason::kLater);\n",
            "base/reasons.inc": 'FLOTILLA_REASON(kA, "A_TESTED", kOk, kNever, 1, "")\n'
                                'FLOTILLA_REASON(kB, "B_TESTED", kOk, kNever, 1, "")\n'
                                'FLOTILLA_REASON(kC, "C_SORTED", kOk, kNever, 1, "")\n'
                                'FLOTILLA_REASON(kLater, "PROMISED", kOk, kNever, 1, "")\n',
            "tests/base/a_test.cc": "EXPECT_EQ(ReasonOf(status), Reason::kA);\n",
            "tests/base/b_test.py": 'self.refused("B_TESTED")\n',
            "tests/client/retry_test.cc": "Sort(Reason::kC);\n",
            "tests/TRAPS.md": "| trap | the mistake | test |\n| --- | --- | --- |\n"
                              "| one | x | `tests/traps_test.cc` `Suite.One` |\n"
                              "| two | x | `tests/traps_test.cc` `Suite.Two` |\n"
                              "| three | x | `tests/traps_test.py` `Suite.test_three` |\n"
                              "| four | x | `tests/traps_test.py` `Suite.test_four` |\n",
            "tests/traps_test.cc": "TEST(Suite, One) {}\n",
            "tests/traps_test.py": "class Suite(X):\n    def test_three(self):\n        pass\n",
        }.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        PROMISED_REASONS.add("PROMISED")
        found = "\n".join(check(root))
        PROMISED_REASONS.remove("PROMISED")
        for expected in ("base/ must not include raft/group.h", "the core must not include",
                         "gRPC appears", "clocks, threads", "700 lines", "has no README",
                         "no test provokes C_SORTED", "PROMISED is returned by now",
                         "rows are gone through by"):
            assert expected in found, expected
        for lost in ("Suite.Two", "Suite.test_four"):
            assert f"has no test {lost}" in found, found
        for there in ("Suite.One", "Suite.test_three"):
            assert f"has no test {there}" not in found, found
        for tested in ("A_TESTED", "B_TESTED"):
            assert f"no test provokes {tested}" not in found, found


def main():
    if "--self-test" in sys.argv:
        self_test()
        return 0
    violations = check(pathlib.Path(__file__).resolve().parents[2])
    for violation in violations:
        print(violation)
    print(f"check: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
