#!/usr/bin/env python3
"""Overwrites the same keys over and over, and says what the data takes once old versions are gone.

    tests/bench/vacuum.py BIN_DIRECTORY [--keys 10000] [--overwrites 10000000] [--value-bytes 1024]
                          [--retention 30s] [--kvd=FLAG ...]

Three nodes. Values cannot be compressed. The data directory is looked at three times: when the last
put is answered, when the vacuums that run by themselves have come to rest, and after `kvctl vacuum
run`; the log of all groups, which keeps no versions, is told apart. Fails unless the files of the
state machines end within three times the live data. Needs kvd and kvctl. Data goes below a temporary
directory.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from nodes import Nodes, wait_for

TIMES_MAX = 3
FILES = 4  # of puts, in turn
QUIET_S = 20  # without a byte less, and the vacuums are at rest


def megabytes(count):
    return f"{count / 1e6:,.1f} MB"


def size_of(directory):
    total = 0
    for path in directory.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_blocks * 512
        except FileNotFoundError:
            pass
    return total


class Overwrites:
    def __init__(self, nodes, args):
        self.nodes, self.args = nodes, args
        self.live = args.keys * (args.value_bytes + len(self.key(0)))

    @staticmethod
    def key(number):
        return f"key{number:08}"

    def write_files(self):
        """Of one put of every key each."""
        files = []
        for number in range(FILES):
            source = random.Random(number)
            path = self.nodes.directory / f"puts{number}"
            with path.open("w") as out:
                for key in range(self.args.keys):
                    value = source.randbytes((self.args.value_bytes + 1) // 2).hex()
                    out.write(f"put {self.key(key)} {value[:self.args.value_bytes]}\n")
            files.append(path)
        return files

    def load(self):
        files = self.write_files()
        began = time.monotonic()
        rounds = max(1, self.args.overwrites // self.args.keys)
        for one in range(rounds):
            self.nodes.kvctl("--keyspace", "overwritten", "batch", "-f", str(files[one % FILES]))
        seconds = time.monotonic() - began
        print(f"{rounds * self.args.keys:,} puts of {self.args.keys:,} keys in {seconds:.0f} s",
              flush=True)

    def state(self, node):
        return size_of(self.nodes.data(node) / "groups")

    def report(self, when):
        for node in self.nodes.all:
            state, whole = self.state(node), size_of(self.nodes.data(node))
            print(f"{when}: n{node}: state machines {megabytes(state)}, "
                  f"{state / self.live:.1f} times the live {megabytes(self.live)}; "
                  f"with the log {megabytes(whole)}", flush=True)

    def settle(self):
        least, since = None, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            now = sum(self.state(node) for node in self.nodes.all)
            if least is None or now < least:
                least, since = now, time.monotonic()
            time.sleep(1)

    def run(self):
        self.nodes.start_all()
        wait_for("a cluster", lambda: self.nodes.total("groups_led") >= 2)
        self.nodes.kvctl("keyspace", "create", "overwritten", "--retention", self.args.retention)
        self.load()
        self.report("written")
        time.sleep(int(self.args.retention.rstrip("s")) + 15)
        self.settle()
        self.report("vacuumed by itself")
        began = time.monotonic()
        runs = self.nodes.kvctl("vacuum", "run", "--keyspace", "overwritten", timeout=3600)[0]["runs"]
        dropped = sum(int(run["versions_dropped"]) for run in runs)
        print(f"vacuum run: {dropped:,} versions in {time.monotonic() - began:.1f} s", flush=True)
        self.settle()
        self.report("vacuumed")
        return all(self.state(node) <= TIMES_MAX * self.live for node in self.nodes.all)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--overwrites", type=int, default=10_000_000)
    parser.add_argument("--value-bytes", type=int, default=1024)
    parser.add_argument("--retention", default="30s", help="in seconds, such as 30s")
    parser.add_argument("--kvd", action="append", default=[], help="a further flag of kvd")
    args = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="flotilla-vacuum-"))
    nodes = Nodes(args.programs.resolve(), directory, flags=args.kvd)
    try:
        within = Overwrites(nodes, args).run()
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {error.stderr}")
    finally:
        nodes.kill_all()
        shutil.rmtree(directory, ignore_errors=True)
    if not within:
        sys.exit(f"error: more than {TIMES_MAX} times the live data is left")


if __name__ == "__main__":
    main()
