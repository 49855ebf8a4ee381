#!/usr/bin/env python3
"""Clusters of real kvd processes, driven by kvctl: kills, pauses, restarts, joining, stopping.

usage: cluster_test.py BIN_DIRECTORY [TEST...]
"""

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

BIN = pathlib.Path(sys.argv.pop(1)).resolve()
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def free_ports(count):
    """Ports that nobody listens on, below the range that connections are made from."""
    ports = []
    candidate = 20000 + int(time.time() * 1000) % 8000
    while len(ports) < count:
        candidate += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
                ports.append(candidate)
            except OSError:
                pass
    return ports


def wait_for(what, condition, seconds=20.0):
    """Polls; fails the test when the bound has passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


class Node:
    def __init__(self, directory, number, ports):
        self.number = number
        self.directory = directory / f"n{number}"
        self.directory.mkdir(exist_ok=True)
        self.address = f"127.0.0.1:{ports[0]}"
        self.http = f"127.0.0.1:{ports[1]}"
        self.process = None

    def start(self, join, expect):
        with open(self.directory / "kvd.log", "a") as log:
            self.process = subprocess.Popen(
                [BIN / "kvd", "--data-dir", self.directory / "data", "--listen", self.address,
                 "--http-listen", self.http, "--join", ",".join(join),
                 "--bootstrap-expect", str(expect)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def end(self, how=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(timeout=20)


class Cluster(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="flotilla-"))
        self.nodes = []
        self.addCleanup(self.remove)

    def remove(self):
        for node in self.nodes:
            node.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def form(self, count):
        ports = free_ports(2 * count)
        self.nodes = [Node(self.directory, i + 1, ports[2 * i:2 * i + 2]) for i in range(count)]
        self.join = [node.address for node in self.nodes]
        for node in self.nodes:
            node.start(self.join, count)
        for node in self.nodes:
            wait_for(f"node {node.number} to be ready", node.ready)

    def kvctl(self, *arguments, check=True, endpoints=None):
        result = subprocess.run(
            [BIN / "kvctl", "--endpoints", ",".join(endpoints or [n.address for n in self.nodes]),
             *arguments], capture_output=True, text=True, timeout=60)
        if check:
            self.assertEqual(result.returncode, 0, f"{arguments}: {result.stderr}")
        return result

    def leader(self):
        """The node that leads, by its own word."""
        for node in self.nodes:
            if node.process.poll() is not None:
                continue
            try:
                with urllib.request.urlopen(f"http://{node.http}/metrics", timeout=1) as answer:
                    if re.search(r'^flotilla_raft_leader\{group="2"\} 1$', answer.read().decode(),
                                 re.M):
                        return node
            except (urllib.error.URLError, OSError):
                pass
        return None

    def wait_for_leader(self):
        wait_for("a leader", lambda: self.leader() is not None)
        return self.leader()

    def test_acknowledged_writes_survive_kills_and_pauses(self):
        self.form(3)
        acknowledged = []
        ended = threading.Event()

        def write():
            number = 0
            while not ended.is_set():
                number += 1
                if self.kvctl("put", f"k{number}", f"v{number}", check=False).returncode == 0:
                    acknowledged.append(number)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for how in ("kill", "pause", "kill"):
                before = len(acknowledged)
                wait_for("writes to flow", lambda: len(acknowledged) > before + 10)
                victim = self.wait_for_leader()
                victim.process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGSTOP)
                if how == "kill":
                    victim.process.wait()
                before = len(acknowledged)
                wait_for("writes to flow again", lambda: len(acknowledged) > before + 10)
                if how == "kill":
                    victim.start(self.join, 3)
                else:
                    victim.process.send_signal(signal.SIGCONT)
                wait_for("the node to be back", victim.ready)
        finally:
            ended.set()
            writer.join()
        for node in self.nodes:  # all at once: only the disks remember
            node.process.kill()
            node.process.wait()
        for node in self.nodes:
            node.start(self.join, 3)
        for node in self.nodes:
            wait_for("the node to be back", node.ready)
        rows = dict(line.split("\t") for line in self.kvctl("scan", "-o", "plain").stdout.splitlines())
        for number in acknowledged:
            self.assertEqual(rows.get(f"k{number}"), f"v{number}")
        self.assertGreater(len(acknowledged), 60)

    def test_any_two_of_five_may_be_dead(self):
        self.form(5)
        self.kvctl("put", "k", "v")
        for node in self.nodes[:2]:
            node.end()
        self.kvctl("put", "k", "w")
        self.assertEqual(self.kvctl("get", "k").stdout, "w")

    def test_a_fourth_node_joins_and_becomes_a_voter(self):
        self.form(3)
        self.kvctl("put", "k", "v")
        fourth = Node(self.directory, 4, free_ports(2))
        self.nodes.append(fourth)
        fourth.start(self.join[:1], 0)
        wait_for("the node to be ready", fourth.ready)

        def voter():
            members = self.kvctl("member", "list").stdout
            return any(fourth.address in line and "voter" in line for line in members.splitlines())

        wait_for("the node to be a voter", voter)
        self.assertEqual(
            self.kvctl("--consistency", "eventual", "get", "k", endpoints=[fourth.address]).stdout, "v")
        number = next(line.split("\t")[0] for line in self.kvctl("member", "list").stdout.splitlines()
                      if fourth.address in line)
        self.kvctl("member", "remove", number)
        self.assertNotIn(fourth.address, self.kvctl("member", "list").stdout)

    def test_a_data_directory_of_another_cluster_is_refused(self):
        self.form(3)
        self.kvctl("put", "k", "v")
        first = self.nodes
        for node in first:
            node.end(signal.SIGTERM)
        # One node of the old cluster among nodes of a new one.
        shutil.rmtree(first[1].directory / "data")
        shutil.rmtree(first[2].directory / "data")
        first[1].start([first[1].address], 1)
        wait_for("the new cluster", first[1].ready)
        first[0].start(self.join, 3)
        self.assertNotEqual(first[0].process.wait(timeout=10), 0)
        log = (first[0].directory / "kvd.log").read_text()
        self.assertIn("belongs to cluster", log)
        self.assertIn(str(first[0].directory / "data"), log)
        members = self.kvctl("member", "list", endpoints=[first[1].address]).stdout
        self.assertNotIn(first[0].address, members)
        self.assertEqual(self.kvctl("get", "k", check=False, endpoints=[first[1].address]).returncode, 3)

    def test_the_leader_can_be_removed(self):
        self.form(3)
        leader = self.wait_for_leader()
        number = next(line.split("\t")[0]
                      for line in self.kvctl("member", "list").stdout.splitlines()
                      if leader.address in line)
        self.kvctl("member", "remove", number)
        self.assertNotIn(leader.address, self.kvctl(
            "member", "list", endpoints=[n.address for n in self.nodes if n is not leader]).stdout)
        self.kvctl("put", "k", "v", endpoints=[n.address for n in self.nodes if n is not leader])

    def test_nodes_that_moved_to_other_addresses_are_found_again(self):
        self.form(3)
        self.kvctl("put", "k", "v")
        # One at a time, then all at once, as when data directories are carried to other machines.
        for moving in (self.nodes[:1], self.nodes):
            for node in moving:
                node.end()
            ports = free_ports(len(moving))
            for node, port in zip(moving, ports):
                node.address = f"127.0.0.1:{port}"
            self.join = [node.address for node in self.nodes]
            for node in moving:
                node.start(self.join, 3)
            for node in moving:
                wait_for("the node to be ready", node.ready)

            def on_record():
                members = self.kvctl("member", "list", check=False).stdout
                return all(node.address in members for node in self.nodes)

            wait_for("the new addresses to be on record", on_record)
            self.assertEqual(self.kvctl("get", "k").stdout, "v")

    def test_a_killed_leader_is_replaced_within_a_second(self):
        self.form(3)
        gaps = []
        for _ in range(5):
            leader = self.wait_for_leader()
            others = [node.address for node in self.nodes if node is not leader]
            leader.end()
            start = time.monotonic()
            self.kvctl("put", "k", "v", endpoints=others)
            gaps.append(time.monotonic() - start)
            leader.start(self.join, 3)
            wait_for("the node to be back", leader.ready)
        print(f"writes went on after {', '.join(f'{gap:.2f}' for gap in gaps)} s", flush=True)
        self.assertLess(sorted(gaps)[2], 1.0)

    def test_sigterm_hands_leadership_over_and_stops_within_seconds(self):
        self.form(3)
        leader = self.wait_for_leader()
        start = time.monotonic()
        leader.process.send_signal(signal.SIGTERM)
        self.assertEqual(leader.process.wait(timeout=10), 0)
        self.assertLess(time.monotonic() - start, 6)
        start = time.monotonic()
        self.kvctl("put", "k", "v", endpoints=[n.address for n in self.nodes if n is not leader])
        self.assertLess(time.monotonic() - start, 2)

    def test_errors_say_what_to_do_and_exit_codes_tell_them_apart(self):
        self.form(3)
        self.assertEqual(self.kvctl("get", "nothing", check=False).returncode, 3)
        self.kvctl("put", "k", "v")
        self.assertEqual(self.kvctl("cas", "k", "--if-value", "x", "y", check=False).returncode, 4)
        self.assertEqual(self.kvctl("put", "k" * 20000, "v", check=False).returncode, 6)
        self.assertEqual(self.kvctl("put", "--no-such-flag", check=False).returncode, 2)
        for node in self.nodes[:2]:
            node.end()
        lone = self.kvctl("--timeout", "5s", "get", "k", check=False)
        self.assertEqual(lone.returncode, 5, lone.stderr)
        self.assertIn("hint:", lone.stderr)
        start = time.monotonic()
        down = self.kvctl("get", "k", check=False, endpoints=["127.0.0.1:1"])
        self.assertEqual(down.returncode, 5)
        self.assertIn("127.0.0.1:1", down.stderr)
        self.assertLess(time.monotonic() - start, 1.5)

    def test_the_readme_says_the_truth(self):
        self.form(3)
        text = (REPOSITORY / "README.md").read_text()
        examples = re.findall(r"```console\n(.*?)```", text, re.S)
        self.assertTrue(examples)
        for example in examples:
            for command, output in re.findall(r"\$ ([^\n]+)\n((?:(?!\$ )[^\n]*\n)*)", example):
                words = command.split()
                self.assertEqual(words[0], "build/bin/kvctl")
                answer = self.kvctl(*words[1:]).stdout
                self.assertEqual(answer.strip(), output.strip(), command)


if __name__ == "__main__":
    unittest.main(verbosity=2)
