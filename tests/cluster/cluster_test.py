#!/usr/bin/env python3
"""Clusters of real kvd processes, driven by kvctl: kills, pauses, restarts, joining, stopping.

usage: cluster_test.py BIN_DIRECTORY [TEST...]
"""

import re
import shlex
import shutil
import signal
import time
import unittest

import harness
from harness import Node, Writer, free_ports, wait_for

harness.start()


def without_times(text):
    """What a command says, whenever it says it."""
    text = re.sub(r"\b\d{18}\b", "TIMESTAMP", text.strip())
    return re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z", "TIME", text)


class ClusterTest(harness.Cluster):
    def test_acknowledged_writes_survive_kills_and_pauses_under_load(self):
        self.form(3)
        writers = [Writer(self.shell(), f"w{i}/") for i in range(4)]
        for writer in writers:
            self.addCleanup(writer.stop)
        for how in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL, signal.SIGSTOP):
            for writer in writers:
                writer.wait_for_more(50)
            victim = self.wait_for_leader()
            victim.send(how)
            if how == signal.SIGKILL:
                victim.process.wait()
            for writer in writers:
                writer.wait_for_more(50)
            if how == signal.SIGKILL:
                self.start(victim)
            else:
                victim.send(signal.SIGCONT)
            self.wait_ready([victim])
        for writer in writers:
            writer.stop()
        self.check_writers(*writers)
        for node in self.nodes:  # all at once: only the disks remember
            node.process.kill()
            node.process.wait()
        for node in self.nodes:
            self.start(node)
        self.wait_ready()
        self.check_writers(*writers)

    def test_any_two_of_five_may_be_dead(self):
        self.form(5)
        writer = Writer(self.shell())
        self.addCleanup(writer.stop)
        for first in range(5):
            for second in range(first + 1, 5):
                dead = [self.nodes[first], self.nodes[second]]
                for node in dead:
                    node.end()
                writer.wait_for_more(20)
                for node in dead:
                    self.start(node)
                self.wait_ready(dead)
        writer.stop()
        self.check_writers(writer)

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

    def test_the_past_is_read_as_it_was(self):
        self.form(3)
        self.kvctl("put", "a", "1")
        self.kvctl("put", "b", "2")
        then = self.kvctl("timestamp").stdout.strip()
        self.kvctl("put", "a", "3")
        self.kvctl("delete", "b")
        self.assertEqual(self.kvctl("--at", then, "get", "a").stdout, "1")
        self.assertEqual(self.kvctl("scan", "--at", then).stdout, "a\t1\nb\t2\n")
        self.assertEqual(self.kvctl("count", "--at", then).stdout.strip(), "2")
        self.assertEqual(self.kvctl("scan").stdout, "a\t3\n")
        # A shard that is cut off has its past with it.
        self.kvctl("shard", "split", "2", "--at", "aa")
        self.assertEqual(self.kvctl("--at", then, "get", "b").stdout, "2")
        self.kvctl("keyspace", "alter", "default", "--retention", "1s")

        def gone():
            self.kvctl("put", "b", "4")
            return self.kvctl("--at", then, "get", "b", check=False).returncode == 1

        wait_for("the past to be forgotten", gone)

    def test_a_shard_is_split_and_made_whole_again_under_load(self):
        self.form(3)
        writers = [Writer(self.shell(), prefix) for prefix in ("a/", "z/")]
        for writer in writers:
            self.addCleanup(writer.stop)
        first = self.kvctl("shard", "list").stdout.splitlines()
        for _ in range(3):
            for writer in writers:
                writer.wait_for_more(50)
            self.kvctl("shard", "split", "2", "--at", "m")
            self.assertEqual(len(self.kvctl("shard", "list").stdout.splitlines()), len(first) + 1)
            for writer in writers:
                writer.wait_for_more(50)
                writer.gap()
            self.kvctl("shard", "merge", "2")
            for writer in writers:
                writer.wait_for_more(50)
                self.assertLess(writer.gap(), 1.0)
            self.assertEqual(len(self.kvctl("shard", "list").stdout.splitlines()), len(first))
        for writer in writers:
            writer.stop()
            # None failed.
            self.assertEqual(writer.acknowledged, list(range(1, len(writer.acknowledged) + 1)))
        self.check_writers(*writers)

    def test_a_data_directory_of_another_cluster_is_refused(self):
        self.form(3)
        self.kvctl("put", "k", "v")
        first = self.nodes
        for node in first:
            node.end(signal.SIGTERM)
        # One node of the old cluster among nodes of a new one.
        shutil.rmtree(first[1].data)
        shutil.rmtree(first[2].data)
        first[1].start([first[1].address], 1)
        wait_for("the new cluster", first[1].ready)
        first[0].start(self.join, 3)
        self.assertNotEqual(first[0].process.wait(timeout=10), 0)
        log = first[0].log()
        self.assertIn("belongs to cluster", log)
        self.assertIn(str(first[0].data), log)
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
        text = (harness.REPOSITORY / "README.md").read_text()
        examples = re.findall(r"```console\n(.*?)```", text, re.S)
        self.assertTrue(examples)
        for example in examples:
            for command, output in re.findall(r"\$ ([^\n]+)\n((?:(?!\$ )[^\n]*\n)*)", example):
                words = shlex.split(command)
                self.assertEqual(words[0], "build/bin/kvctl")
                answer = self.kvctl(*words[1:]).stdout
                self.assertEqual(without_times(answer), without_times(output), command)


if __name__ == "__main__":
    unittest.main(verbosity=2)
