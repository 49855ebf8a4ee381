#!/usr/bin/env python3
"""Kills a node that has much log, and measures how long it takes to be ready again.

usage: restart_check.py BIN_DIRECTORY [--mib N] [--within SECONDS]

The log is made by really writing, with settings that keep it. Exits non-zero when the node is not
ready within the bound.
"""

import argparse
import re
import signal
import sys
import time

import harness
from harness import wait_for


class Restart(harness.Measurement):
    FLAGS = ("--wal-max", "1TiB", "--compact-after", "1TiB")

    def measure(self, mib):
        self.form(1)
        node = self.nodes[0]
        writing = 0
        while node.metric("flotilla_log_appended_bytes_total") < mib << 20:
            writing += 1
            self.assertLess(writing, 10_000)
            # That a loaded disk makes an answer late is not what is tested.
            self.kvctl("bench", "--op", "put", "--duration", "5s", "--value-size", "8192",
                       "--outstanding", "256", "--timeout", "60s", check=False, timeout=240)
        node.end(signal.SIGKILL)
        start = time.monotonic()
        self.start(node)
        wait_for("the node to be ready", node.ready, 300, pause=0.01)
        seconds = time.monotonic() - start
        read = re.findall(r"(\d+) MiB of log \(", node.log())[-1]
        return int(read), seconds


def main():
    harness.start()
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=10 << 10)
    parser.add_argument("--within", type=float, default=10.0)
    arguments = parser.parse_args()
    with Restart() as test:
        read, seconds = test.measure(arguments.mib)
    print(f"ready after {seconds:.2f} s, with {read} MiB of log", flush=True)
    return 0 if seconds < arguments.within and read >= arguments.mib * 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
