#!/usr/bin/env python3
"""Measures three nodes with many groups, and prints a table.

    tests/bench/groups.py BIN_DIRECTORY [--shards 1000] [--parts cold,idle,kill,pause,put]

A cold start of all nodes, CPU and memory when all is idle, the time without leaders after the end
(or the pause) of the node that leads the most, and put over one, eight and sixteen shards. Needs
kvd, kvctl and, for put, flotilla_bench. Data goes below a temporary directory.
"""

import argparse
import pathlib
import re
import signal
import subprocess
import time

from nodes import Measurement, measure, wait_for

PARTS = ("cold", "idle", "kill", "pause", "put")


class Groups(Measurement):
    def __init__(self, nodes, shards):
        super().__init__(nodes)
        self.shards = shards
        self.groups = shards + 2  # and the directory, and `default`

    def create(self, name, shards):
        self.nodes.kvctl("keyspace", "create", name, "--partitioning", "hash",
                         "--shards", str(shards))  # fmt: skip

    def all_led(self, nodes=None):
        return self.nodes.total("groups_led", nodes) >= self.groups

    def found(self):
        self.start()
        began = time.monotonic()
        self.create("many", self.shards)
        wait_for("leaders", self.all_led)
        self.note(f"creation of {self.shards} shards", f"{time.monotonic() - began:.1f} s")

    def await_sleep(self):
        """For ten seconds: the balancer wakes those whose leaders it evens out."""
        awake_at = [time.monotonic()]

        def asleep():
            now = time.monotonic()
            if self.nodes.total("groups_quiescent") < 3 * self.groups:
                awake_at[0] = now
            return now - awake_at[0] > 10

        wait_for("all groups to fall asleep", asleep, 300, pause=0.5)

    def idle(self):
        self.await_sleep()
        time.sleep(15)
        before = self.nodes.cpu_seconds()
        time.sleep(20)
        used = (self.nodes.cpu_seconds() - before) / 20
        self.note("CPU of all nodes, idle", f"{used * 100:.1f} % of a core", "3 %")
        resident = sum(self.nodes.from_proc("VmRSS")) / 2**20
        self.note("memory of all nodes, idle", f"{resident:.2f} GiB", "4 GiB")
        self.note("threads of a node", str(max(self.nodes.from_proc("Threads"))))
        files = [len(list(pathlib.Path(f"/proc/{p.pid}/fd").iterdir()))
                 for p in self.nodes.processes]  # fmt: skip
        self.note("open files of a node", str(max(files)))

    def cold(self):
        began = time.monotonic()
        self.nodes.stop_all()
        self.note("stop of all nodes", f"{time.monotonic() - began:.1f} s")
        began = time.monotonic()
        self.nodes.start_all()
        wait_for("leaders", self.all_led)
        self.note("cold start of all nodes, until all groups are led",
                  f"{time.monotonic() - began:.1f} s", "30 s")  # fmt: skip

    def fail_over(self, what, strike, undo):
        self.await_sleep()
        led = [self.nodes.total("groups_led", [node]) for node in range(3)]
        victim = led.index(max(led))
        others = [node for node in range(3) if node != victim]
        began = time.monotonic()
        strike(self.nodes.processes[victim])
        wait_for("leaders", lambda: self.all_led(others))
        self.note(f"{what} of the node that leads {max(led)}, until all groups are led",
                  f"{time.monotonic() - began:.1f} s", "5 s")  # fmt: skip
        undo(victim)

    def kill(self):
        def strike(process):
            process.kill()
            process.wait()

        self.fail_over("kill", strike, self.nodes.start)

    def pause(self):
        self.fail_over(
            "pause",
            lambda process: process.send_signal(signal.SIGSTOP),
            lambda victim: self.nodes.processes[victim].send_signal(signal.SIGCONT),
        )

    def put(self):
        """Rounds in turn, for the machine's other work to meet both alike. Without the balancer, which
        splits a shard that has so much to do."""
        self.nodes.stop_all()
        self.nodes.flags = (*self.nodes.flags, "--balance", "false")
        self.nodes.start_all()
        wait_for("leaders", self.all_led)
        rates = {1: [], 8: [], 16: []}
        for shards in rates:
            self.create(f"of{shards}", shards)
            self.groups += shards
        for _ in range(3):
            for shards, found in rates.items():
                done = subprocess.run(
                    [self.nodes.programs / "flotilla_bench",
                     "--flotilla", ",".join(self.nodes.endpoints()), "--keyspace", f"of{shards}",
                     "--ops", "put", "--outstanding", "256", "--apis", "batch",
                     "--seconds", "4", "--warm-up", "1", "--keys", "20000"],
                    check=True, timeout=120, capture_output=True, text=True)  # fmt: skip
                row = re.search(r"^put\s.*$", done.stdout, re.MULTILINE)[0].split()
                found.append(int(row[4].replace(",", "")))
        for shards, found in rates.items():
            self.note(f"put, 256 outstanding, {shards} shard(s)",
                      f"{sorted(found)[1]:,} a second of {found}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--parts", default=",".join(PARTS))
    flags = parser.parse_args()
    measure(flags.programs, flags.parts, lambda nodes: Groups(nodes, flags.shards))


if __name__ == "__main__":
    main()
