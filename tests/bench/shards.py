#!/usr/bin/env python3
"""Splits and moves a shard of 1 GiB while clients write to it; prints a table, draws pictures.

    tests/bench/shards.py BIN_DIRECTORY [--parts move,split] [--gib 1] [--outstanding 64]
                          [--pictures DIRECTORY] [--kvd=FLAG ...]

Four nodes, three of which have the shard; the balancer is off. Needs kvd, kvctl and
flotilla_timeline. Data goes below a temporary directory.
"""

import argparse
import csv
import pathlib
import subprocess
import time

from nodes import Measurement, measure, wait_for

VALUE_BYTES = 1024  # of what is there
PUT_BYTES = 256  # of what is put there meanwhile
BEFORE_S = 30  # of load, before anything happens
AFTER_S = 30
WARM_UP_S = 2
LEAST_S = 5  # of load, for a rate before or after
PATIENCE_S = 120


class Puts:
    """What flotilla_timeline has written down in so many seconds."""

    def __init__(self, rows, seconds):
        self.rows, self.seconds = rows, seconds

    @classmethod
    def read(cls, path, seconds):
        with open(path, newline="") as file:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        return cls(rows, seconds)

    def between(self, start_s, end_s):
        return [row for row in self.rows if start_s <= row["at_ms"] / 1000 < end_s]

    def rate(self, start_s, end_s, least_s=0.0):
        """A second, of what of this time there was load; None: that was not more than so much."""
        end_s = min(end_s, self.seconds)
        if end_s - start_s <= least_s:
            return None
        return sum(row["puts"] for row in self.between(start_s, end_s)) / (end_s - start_s)

    def longest_ms(self, start_s, end_s):
        return max(row["max_us"] for row in self.between(start_s, end_s)) / 1000


def dip(puts, began_s, ended_s):
    """Puts a second before, during and after, and what the middle lacks of those around it."""
    around = [puts.rate(WARM_UP_S, began_s, LEAST_S),
              puts.rate(ended_s, ended_s + AFTER_S, LEAST_S)]  # fmt: skip
    during = puts.rate(began_s, ended_s)
    known = [rate for rate in around if rate is not None]
    shown = [f"{rate:,.0f}" if rate is not None else "not known" for rate in (*around, during)]
    text = f"{shown[0]}, {shown[2]}, {shown[1]}"
    if not known or during is None:
        return text
    lost = 100 * (1 - during / (sum(known) / len(known)))
    return f"{text}: {lost:.0f} % less"


class Picture:
    """The longest wait and the throughput of each slice, one above the other, over time."""

    WIDTH, HEIGHT, LEFT, TOP = 900, 190, 70, 34
    HALVES = (("lower half", "#0b6e99"), ("upper half", "#e08a00"))

    def __init__(self, title, puts, began_s, ended_s, bound_ms):
        self.puts, self.began_s = puts, began_s
        self.seconds = max(row["at_ms"] for row in puts.rows) / 1000
        self.ended_s = min(ended_s, self.seconds)
        self.parts = [self.text(self.LEFT, 20, title, size=15, anchor="start")]
        waits = {half: [(r["at_ms"] / 1000, r["max_us"] / 1000) for r in puts.rows
                        if r["half"] == half] for half in (0, 1)}  # fmt: skip
        self.panel(self.TOP, "longest wait of a put, ms", waits, bound_ms)
        rates = {half: self.rates(half) for half in (0, 1)}
        self.panel(self.TOP + self.HEIGHT + 50, "puts a second", rates, None)
        for half, (name, color) in enumerate(self.HALVES):
            x = self.WIDTH - 200 + 100 * half
            self.parts.append(f"<circle cx='{x}' cy='16' r='5' fill='{color}'/>")
            self.parts.append(self.text(x + 9, 20, name, anchor="start"))

    def rates(self, half):
        buckets = {}
        for row in self.puts.rows:
            if row["half"] == half:
                at = int(row["at_ms"] // 250)
                buckets[at] = buckets.get(at, 0) + row["puts"] * 4
        return [(at / 4, buckets.get(at, 0)) for at in range(int(self.seconds * 4))]

    @staticmethod
    def text(x, y, words, size=11, anchor="middle"):
        return f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}'>{words}</text>"

    def x(self, seconds):
        return self.LEFT + seconds / self.seconds * (self.WIDTH - self.LEFT - 20)

    def panel(self, top, name, series, bound):
        highest = max(value for points in series.values() for _, value in points)
        highest = max(highest, bound or 0) * 1.05
        y = lambda value: top + self.HEIGHT - value / highest * (self.HEIGHT - 20)
        left, right = self.x(0), self.x(self.seconds)
        self.parts.append(
            f"<rect x='{self.x(self.began_s):.1f}' y='{top + 16}' height='{self.HEIGHT - 16}' "
            f"width='{max(2.0, self.x(self.ended_s) - self.x(self.began_s)):.1f}' fill='#eee'/>")
        self.parts.append(self.text(left, top + 10, name, anchor="start"))
        for share in (0, 0.25, 0.5, 0.75, 1):
            at = y(highest / 1.05 * share)
            self.parts.append(
                f"<line x1='{left}' x2='{right}' y1='{at:.1f}' y2='{at:.1f}' stroke='#ddd'/>")
            self.parts.append(self.text(left - 6, at + 4, f"{highest / 1.05 * share:.0f}", anchor="end"))
        if bound:
            self.parts.append(f"<line x1='{left}' x2='{right}' y1='{y(bound):.1f}' "
                              f"y2='{y(bound):.1f}' stroke='#c00' stroke-dasharray='4 3'/>")
        for second in range(0, int(self.seconds) + 1, 5):
            self.parts.append(self.text(self.x(second), top + self.HEIGHT + 15, f"{second} s"))
        for half, points in series.items():
            line = " ".join(f"{self.x(at):.1f},{y(value):.1f}" for at, value in points)
            self.parts.append(f"<polyline points='{line}' fill='none' "
                              f"stroke='{self.HALVES[half][1]}' stroke-width='1.3'/>")

    def write(self, path):
        height = self.TOP + 2 * self.HEIGHT + 80
        path.write_text(
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{self.WIDTH}' height='{height}' "
            f"font-family='sans-serif' fill='#222'>\n<rect width='{self.WIDTH}' height='{height}' "
            "fill='white'/>\n" + "\n".join(self.parts) + "\n</svg>\n")
        print(f"picture: {path}", flush=True)


class Shards(Measurement):
    def __init__(self, nodes, flags):
        super().__init__(nodes)
        self.flags = flags
        self.keys = int(flags.gib * 2**30 / (VALUE_BYTES + 16))

    def timeline(self, *arguments):
        return [self.nodes.programs / "flotilla_timeline",
                "--flotilla", ",".join(self.nodes.endpoints()), "--keyspace", "big",
                "--keys", str(self.keys), "--middle", str(self.keys // 2),
                *arguments]  # fmt: skip

    def shards(self):
        return self.nodes.kvctl("shard", "list", "--keyspace", "big")[0]["shards"]

    def found(self):
        self.start()
        self.nodes.kvctl("keyspace", "create", "big", "--partitioning", "range")
        wait_for("a leader", lambda: self.nodes.total("groups_led") >= 3)
        began = time.monotonic()
        subprocess.run(self.timeline("--load", "--outstanding", "128",
                                     "--value-bytes", str(VALUE_BYTES)), check=True, timeout=600)
        print(f"loaded {self.keys:,} keys in {time.monotonic() - began:.0f} s", flush=True)

    def under_load(self, name, act, expected_s, bound_ms):
        """Lets act() happen while puts go on. What they were, and when it began and ended."""
        seconds = BEFORE_S + expected_s + AFTER_S
        path = self.flags.pictures / f"{name}.csv"
        load = subprocess.Popen(
            self.timeline("--outstanding", str(self.flags.outstanding), "--csv", str(path),
                          "--value-bytes", str(PUT_BYTES), "--seconds", str(seconds)))  # fmt: skip
        started = time.monotonic()
        time.sleep(BEFORE_S)
        began_s = time.monotonic() - started
        act()
        ended_s = time.monotonic() - started
        failed = load.wait(timeout=seconds + 60) != 0
        puts = Puts.read(path, seconds)
        outlasted = f", {ended_s - seconds:.0f} s longer than the load" if ended_s > seconds else ""
        self.note(f"{name}: it took", f"{ended_s - began_s:.2f} s{outlasted}")
        self.note(f"{name}: puts that failed", "some" if failed else "none", "none")
        self.note(f"{name}: longest wait of a put before", f"{puts.longest_ms(WARM_UP_S, began_s):.0f} ms")
        picture = Picture(f"{name} of a shard of {self.flags.gib:g} GiB under load",
                          puts, began_s, ended_s, bound_ms)  # fmt: skip
        picture.write(self.flags.pictures / f"{name}.svg")
        return puts, began_s, ended_s

    def split(self):
        shard = self.shards()[-1]
        before, child = {}, {}

        def act():
            before.update(self.nodes.tables(shard["group_id"]))
            self.nodes.kvctl("--keyspace", "big", "shard", "split", str(shard["group_id"]),
                             "--at", f"bench/{self.keys // 2:010}")  # fmt: skip
            child.update(self.nodes.tables(self.shards()[-1]["group_id"]))

        puts, began, ended = self.under_load("split", act, 1, 200)
        self.note("split: longest wait of a put", f"{puts.longest_ms(began - 0.5, ended + 5):.0f} ms",
                  "200 ms")  # fmt: skip
        taken = sum(size for inode, size in child.items() if inode in before) / 2**20
        own = sum(child.values()) / 2**20 - taken
        self.note("split: files of the new half, on all nodes",
                  f"{taken:.0f} MiB are the old shard's own files, {own:.0f} MiB flushed since")

    def move(self):
        shard = self.shards()[-1]
        voters = shard["voters"]
        all_nodes = [node["node_id"] for node in self.nodes.kvctl("node", "list")[0]["nodes"]]
        to = next(node for node in all_nodes if node not in voters)
        leaving = next(node for node in voters if node != shard["leader_id"])
        act = lambda: self.nodes.kvctl("shard", "move", str(shard["group_id"]), "--from",
                                       f"n{leaving}", "--to", f"n{to}", timeout=PATIENCE_S)
        puts, began, ended = self.under_load("move", act, self.flags.move_seconds, None)
        self.note("move: puts a second before, during, after", dip(puts, began, ended), "30 % less")
        self.note("move: longest wait of a put", f"{puts.longest_ms(began, ended + 2):.0f} ms")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--parts", default="move,split")
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--kvd", action="append", default=[], help="a flag for every kvd")
    parser.add_argument("--outstanding", type=int, default=64)
    parser.add_argument("--move-seconds", type=int, default=25, help="that it may take")
    parser.add_argument("--pictures", type=pathlib.Path, default=pathlib.Path("."))
    flags = parser.parse_args()
    flags.pictures.mkdir(parents=True, exist_ok=True)
    measure(flags.programs, flags.parts, lambda nodes: Shards(nodes, flags), count=4,
            flags=("--balance", "false", *flags.kvd))  # fmt: skip


if __name__ == "__main__":
    main()
