#!/usr/bin/env python3
"""Runs scripted tests with the bugs planted that they ought to see (tests/sim/planted_tests.txt).

    planted_tests.py --list                the bugs in the list
    planted_tests.py BUILD_DIRECTORY NAME  builds and runs the tests of this bug, or of `all`

Prints one line per bug. Exits 1 if a test passes with its bug or fails without.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = ROOT / "tests/sim/planted_tests.txt"
SECONDS_MAX = 120
TEST_FAILED = 1  # what googletest ends with; signals are negative


def kept():
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split()


def run(build, program, test, plant=None):
    environment = {**os.environ, "FLOTILLA_PLANT": plant} if plant else None
    try:
        return subprocess.run([build / "tests" / program, f"--gtest_filter={test}"], cwd=ROOT,
                              env=environment, capture_output=True, text=True, errors="replace",
                              timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return None


def passes(outcome):
    return outcome is not None and outcome.returncode == 0 and "[  PASSED  ] 1 test" in outcome.stdout


def seen_as(outcome):
    """How the test failed; None if it did not, or never began."""
    if outcome is None:
        return f"it does not end within {SECONDS_MAX} s"
    if outcome.returncode < 0:
        said = outcome.stderr.strip().splitlines()
        return said[0] if said else f"the process ended with signal {-outcome.returncode}"
    if outcome.returncode != TEST_FAILED:
        return None
    failure = re.search(r"^(?:\S*/)?(tests/\S+:\d+): Failure$|^unknown file: Failure\n(.+)$",
                        outcome.stdout, re.M)
    return failure.group(1) or failure.group(2) if failure else "it fails"


def judge(build, plant, program, test):
    """Whether the test sees the bug, and how, or what is wrong."""
    with_plant = run(build, program, test, plant)
    how = seen_as(with_plant)
    if how is None:
        if passes(with_plant):
            return False, "PASSES with the bug"
        said = (with_plant.stderr or with_plant.stdout).strip().splitlines() or ["it says nothing"]
        return False, f"DOES NOT RUN: {said[0]}"
    if not passes(run(build, program, test)):
        return False, "DOES NOT PASS without the bug"
    return True, how


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(plant for plant, _, _ in kept()))
        return 0
    build, name = ROOT / sys.argv[1], sys.argv[2]
    rows = [row for row in kept() if name in ("all", row[0])]
    programs = sorted({program for _, program, _ in rows})
    subprocess.run(["cmake", "--build", build, "--target", *programs], check=True)
    print("| bug | test | seen as |\n| --- | --- | --- |")
    seen = 0
    for plant, program, test in rows:
        sees, how = judge(build, plant, program, test)
        seen += sees
        print(f"| {plant} | {program} {test} | {how} |", flush=True)
    print(f"{seen} of {len(rows)} planted bugs seen by their tests")
    return 0 if rows and seen == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
