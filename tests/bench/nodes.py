"""Nodes on loopback for measurements, what /proc and their metrics say of them, and tables of it."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PORT = 24300
HTTP_PORT = 24400
TICKS_PER_SECOND = 100


class Nodes:
    def __init__(self, programs, directory, count=3, flags=()):
        self.programs = programs
        self.directory = directory
        self.flags = flags
        self.all = range(count)
        self.processes = [None] * count

    def endpoint(self, node):
        return f"127.0.0.1:{PORT + 1 + node}"

    def endpoints(self):
        return [self.endpoint(node) for node in self.all]

    def http(self, node):
        return f"127.0.0.1:{HTTP_PORT + 1 + node}"

    def data(self, node):
        return self.directory / f"n{node}"

    def start(self, node):
        command = [
            self.programs / "kvd",
            "--data-dir", self.data(node),
            "--listen", self.endpoint(node),
            "--http-listen", self.http(node),
            "--join", ",".join(self.endpoints()),
            "--bootstrap-expect", str(len(self.all)),
            *self.flags,
        ]  # fmt: skip
        log = open(self.directory / f"n{node}.log", "ab")
        self.processes[node] = subprocess.Popen(command, stdout=log, stderr=log)

    def start_all(self):
        for node in self.all:
            self.start(node)

    def stop_all(self):
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            process.wait(timeout=120)

    def kill_all(self):
        for process in self.processes:
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def metrics(self, node):
        """Sums over the node's groups; nothing when it does not answer."""
        try:
            text = urllib.request.urlopen(f"http://{self.http(node)}/metrics", timeout=5).read()
        except (urllib.error.URLError, OSError):
            return {}
        found = re.findall(r"^flotilla_(groups\w*) (\S+)$", text.decode(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def total(self, name, nodes=None):
        return sum(int(self.metrics(node).get(name, 0)) for node in nodes or self.all)

    def cpu_seconds(self):
        ticks = 0
        for process in self.processes:
            stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(stat[11]) + int(stat[12])
        return ticks / TICKS_PER_SECOND

    def from_proc(self, what):
        values = []
        for process in self.processes:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            values.append(int(re.search(rf"^{what}:\s+(\d+)", status, re.MULTILINE)[1]))
        return values

    def tables(self, group="*"):
        """The bytes of each file of rows, by its inode: one that has several names counts once."""
        found = {}
        for node in self.all:
            for path in self.data(node).glob(f"groups/{group}/db/*.sst"):
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                found[stat.st_ino] = stat.st_size
        return found

    def kvctl(self, *arguments, timeout=120):
        done = subprocess.run(
            [self.programs / "kvctl", "--endpoints", ",".join(self.endpoints()), "-o", "json",
             *arguments],
            check=True, timeout=timeout, capture_output=True, text=True)  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines()]


def wait_for(what, condition, seconds=120.0, pause=0.02):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            sys.exit(f"error: waited {seconds:.0f} s for {what}")
        time.sleep(pause)


class Measurement:
    """Parts, each a method, that are measured one after the other; and what was found."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.rows = []

    def note(self, what, value, bound=""):
        self.rows.append((what, value, bound))
        print(f"{what}: {value}", flush=True)

    def start(self):
        self.nodes.start_all()
        wait_for("a cluster", lambda: self.nodes.total("groups_led") >= 2)

    def run(self, parts):
        self.found()
        for part in parts.split(","):
            getattr(self, part)()
        print("\n| | measured | bound |\n| --- | --- | --- |")
        for what, value, bound in self.rows:
            print(f"| {what} | {value} | {bound} |")


def measure(programs, parts, measurement_of, **nodes_options):
    """Of nodes that end, and go with their data, whatever happens."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="flotilla-bench-"))
    nodes = Nodes(programs.resolve(), directory, **nodes_options)
    try:
        measurement_of(nodes).run(parts)
    finally:
        nodes.kill_all()
        shutil.rmtree(directory, ignore_errors=True)
