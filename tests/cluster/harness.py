"""What tests with real processes share: waiting, ports, nodes, clusters, writers that remember.

A test program calls harness.start() first; it takes BIN_DIRECTORY from the arguments.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
GROUP = 2  # the data group
_programs = None


def start():
    """Takes the directory of the programs from the command line."""
    global _programs
    _programs = pathlib.Path(sys.argv.pop(1)).resolve()


def program(name):
    return _programs / name


def library(name):
    """A library that tests preload."""
    return _programs.parent / "tests" / f"lib{name}.so"


def wait_for(what, condition, seconds=60.0, pause=0.05):
    """Polls; fails the test when the bound has passed. Gives back what the condition gave."""
    end = time.monotonic() + seconds
    while True:
        met = condition()
        if met:
            return met
        if time.monotonic() >= end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(pause)


def caught_up(listed, lag_max=100):
    """Every group has a leader and all its replicas, none far behind, by `kvctl group list`."""
    return bool(listed["groups"]) and all(
        group["leader_id"] != "0" and not group["silent"]
        and all(int(replica.get("lag", lag_max + 1)) <= lag_max for replica in group["replicas"])
        for group in listed["groups"])


_given = set()  # ports, to nodes that perhaps do not listen yet


def free_ports(count):
    """Ports that nobody listens on, below the range that connections are made from."""
    ports = []
    candidate = 20000 + int(time.time() * 1000) % 8000
    while len(ports) < count:
        candidate += 1
        if candidate in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
                ports.append(candidate)
                _given.add(candidate)
            except OSError:
                pass
    return ports


def fetch(url, timeout=1):
    """Status and body; (0, "") when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, OSError):
        return 0, ""


class Node:
    """One kvd. `flags` go behind the usual ones; `env` is added to the environment."""

    def __init__(self, directory, number, ports, flags=()):
        self.number = number
        self.directory = directory / f"n{number}"
        self.directory.mkdir(exist_ok=True)
        self.data = self.directory / "data"
        self.address = f"127.0.0.1:{ports[0]}"
        self.http = f"127.0.0.1:{ports[1]}"
        self.flags = list(flags)
        self.env = {}
        self.process = None

    def start(self, join, expect, before=None):
        """`before` runs in the child, ahead of kvd."""
        with open(self.directory / "kvd.log", "a") as log:
            self.process = subprocess.Popen(
                [program("kvd"), "--data-dir", self.data, "--listen", self.address,
                 "--http-listen", self.http, "--join", ",".join(join),
                 "--bootstrap-expect", str(expect), *self.flags],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self.env},
                preexec_fn=before)

    def log(self):
        return (self.directory / "kvd.log").read_text(errors="replace")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def ready(self):
        return fetch(f"http://{self.http}/readyz")[0] == 200

    def metric(self, name):
        """The value of a metric as it stands on the page; None when it is not there."""
        found = re.search(rf"^{re.escape(name)} (\S+)$",
                          fetch(f"http://{self.http}/metrics")[1], re.M)
        return float(found.group(1)) if found else None

    def leads(self):
        """By its own word."""
        return self.running() and self.metric(f'flotilla_raft_leader{{group="{GROUP}"}}') == 1

    def send(self, how):
        self.process.send_signal(how)

    def end(self, how=signal.SIGKILL):
        if self.running():
            self.send(signal.SIGCONT)
            self.send(how)
            self.process.wait(timeout=20)


class Cluster(unittest.TestCase):
    """Nodes on loopback, gone with their data after the test."""

    FLAGS = ()

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="flotilla-"))
        self.nodes = []
        self.addCleanup(self.remove)

    def remove(self):
        for node in self.nodes:
            node.end()
        # KEEP_CLUSTERS=1 leaves logs and data behind, to look into.
        if os.environ.get("KEEP_CLUSTERS"):
            print(f"kept: {self.directory}", flush=True)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def form(self, count, env=None, prepare=None):
        """`env` gives a node its environment, `prepare` runs before it starts for the first time."""
        ports = free_ports(2 * count)
        self.nodes = [Node(self.directory, i + 1, ports[2 * i:2 * i + 2], self.FLAGS)
                      for i in range(count)]
        self.join = [node.address for node in self.nodes]
        for node in self.nodes:
            if env:
                node.env = env(node)
            if prepare:
                prepare(node)
            self.start(node)
        self.wait_ready()

    def start(self, node):
        node.start(self.join, len(self.join))

    def wait_ready(self, nodes=None, seconds=60.0):
        for node in nodes or self.nodes:
            wait_for(f"node {node.number} to be ready", node.ready, seconds)

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes]

    def endpoints(self, nodes=None):
        return ",".join(node.address for node in nodes or self.nodes)

    def kvctl(self, *arguments, check=True, nodes=None, endpoints=None, timeout=60):
        result = subprocess.run(
            [program("kvctl"), "--endpoints",
             ",".join(endpoints) if endpoints else self.endpoints(nodes), *arguments],
            capture_output=True, text=True, timeout=timeout)
        if check:
            self.assertEqual(result.returncode, 0, f"{arguments}: {result.stderr}")
        return result

    def shell(self, *arguments, nodes=None):
        """The command of a shell that a Writer can write through."""
        return [program("kvctl"), "--endpoints", self.endpoints(nodes), *arguments, "shell"]

    def leader(self):
        return next((node for node in self.nodes if node.leads()), None)

    def wait_for_leader(self):
        return wait_for("a leader", self.leader)

    def rows(self, prefix="", nodes=None, keyspace=""):
        found = self.kvctl("--keyspace", keyspace, "scan", "--prefix", prefix, "-o", "plain",
                           nodes=nodes).stdout
        return dict(line.split("\t") for line in found.splitlines())

    def check_writers(self, *writers, nodes=None):
        """Every acknowledged write is there."""
        for writer in writers:
            rows = self.rows(writer.prefix, nodes, writer.keyspace)
            lost = [n for n in writer.acknowledged if rows.get(writer.key(n)) != writer.value(n)]
            self.assertEqual(lost[:10], [], f"{len(lost)} of {len(writer.acknowledged)} "
                                            "acknowledged writes are gone")


class Measurement(Cluster):
    """A cluster outside of a test run: `with` takes it down."""

    def runTest(self):
        pass

    def __enter__(self):
        self.setUp()
        return self

    def __exit__(self, *_):
        self.doCleanups()


class Writer:
    """Writes one key after another through a shell of kvctl; remembers what was acknowledged, and
    what it was told instead."""

    def __init__(self, command, prefix="w/", bytes=0, keyspace=""):
        self.command = command
        self.prefix = prefix
        self.bytes = bytes
        self.keyspace = keyspace  # where the command's shell writes
        self.acknowledged = []
        self.errors = []
        self.longest_gap = 0.0
        self.stopping = False
        self.process = None
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def key(self, number):
        return f"{self.prefix}{number:08}"

    def value(self, number):
        return f"value-{number}".ljust(self.bytes, "x")

    def open(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def work(self):
        self.open()
        number = 0
        last = time.monotonic()
        while not self.stopping:
            number += 1
            answer = ""
            try:
                self.process.stdin.write(f"put {self.key(number)} {self.value(number)}\n")
                self.process.stdin.flush()
                answer = self.process.stdout.readline()
            except OSError:
                pass
            if answer.strip() == "ok":
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - last)
                last = now
                self.acknowledged.append(number)
            elif not self.stopping:
                self.errors.append(f"put {self.key(number)}: {answer.strip() or 'no answer'}")
                # What stays unread is the answer to nothing that comes later.
                self.close()
                self.open()
        self.close()

    def wait_for_more(self, count, seconds=60.0):
        start = len(self.acknowledged)
        wait_for(f"{count} more acknowledged writes",
                 lambda: len(self.acknowledged) >= start + count, seconds)

    def gap(self):
        """The longest time between two acknowledgements since it was asked last."""
        longest, self.longest_gap = self.longest_gap, 0.0
        return longest

    def stop(self):
        self.stopping = True
        self.thread.join()


class Load:
    """A program of checked transactions (client_load.h), under way."""

    def __init__(self, name, endpoints, keyspace):
        self.name = name
        self.process = subprocess.Popen(
            [program(f"../tests/{name}"), endpoints, keyspace],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def counts(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line.startswith("committed"):
            raise AssertionError(line or f"{self.name} has ended")
        return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", line)}

    def wait_for_more(self, committed, checked):
        before = self.counts()

        def more():
            now = self.counts()
            return (now["committed"] >= before["committed"] + committed
                    and now["checked"] >= before["checked"] + checked)

        wait_for("more transactions and checks", more)

    def close(self):
        """The last word, if something was wrong."""
        self.process.stdin.close()
        with self.process.stdout as out:
            rest = out.read()
        return self.process.wait(timeout=120), rest
