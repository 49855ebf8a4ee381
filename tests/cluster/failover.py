#!/usr/bin/env python3
"""Kills the leader again and again, and measures until a client's writes flow again.

usage: failover.py BIN_DIRECTORY [--kills N] [--nodes N] [--pause]

Exits non-zero when the 99th percentile is not below 2 s, or an acknowledged write is gone. With
--pause the leader is stopped (SIGSTOP) instead, as by a machine that hangs: its connections stay.
"""

import argparse
import signal
import sys

import harness
from harness import Writer

BOUND_SECONDS = 2.0


class Failover(harness.Measurement):
    def measure(self, kills, nodes, pause):
        self.form(nodes)
        writers = [Writer(self.shell(), f"w{i}/") for i in range(2)]
        gaps = []
        try:
            for _ in range(kills):
                leader = self.wait_for_leader()
                for writer in writers:
                    writer.wait_for_more(20)
                    writer.gap()
                leader.send(signal.SIGSTOP if pause else signal.SIGKILL)
                for writer in writers:
                    writer.wait_for_more(5)
                    gaps.append(writer.gap())
                if pause:
                    leader.send(signal.SIGCONT)
                else:
                    leader.process.wait()
                    self.start(leader)
                self.wait_ready([leader])
        finally:
            for writer in writers:
                writer.stop()
        self.check_writers(*writers)
        return sorted(gaps)


def main():
    harness.start()
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--pause", action="store_true")
    arguments = parser.parse_args()
    with Failover() as test:
        gaps = test.measure(arguments.kills, arguments.nodes, arguments.pause)
    at = lambda share: gaps[min(len(gaps) - 1, int(share * len(gaps)))]
    print(f"{arguments.kills} leaders {'paused' if arguments.pause else 'killed'}: writes flowed again "
          f"after {at(0.5):.2f} s (p50), {at(0.99):.2f} s (p99), {gaps[-1]:.2f} s at most", flush=True)
    return 0 if at(0.99) < BOUND_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
