#!/usr/bin/env python3
"""Nodes that come, go, are replaced and restart, while clients write and must notice nothing.

usage: nodes_test.py BIN_DIRECTORY [TEST...]
"""

import json
import shutil
import signal
import subprocess
import unittest

import harness
from harness import Node, Writer, free_ports, wait_for

harness.start()

KEYSPACE = "hashed"
SHARDS = 8
REPLICAS = 3


class NodesTest(harness.Cluster):
    def begin(self, count):
        """A cluster with a keyspace of many shards, and a writer to each keyspace."""
        self.form(count)
        self.kvctl("keyspace", "create", KEYSPACE, "--partitioning", "hash", "--shards",
                   str(SHARDS), "--replicas", str(REPLICAS))
        self.writers = [Writer(self.shell()),
                        Writer(self.shell("--keyspace", KEYSPACE), keyspace=KEYSPACE)]
        for writer in self.writers:
            self.addCleanup(writer.stop)
        self.writes_go_on()

    def writes_go_on(self):
        for writer in self.writers:
            writer.wait_for_more(50)

    def end(self, what, gap_seconds_max):
        """Nobody was told of anything, nothing is lost, and nobody stood still for long."""
        self.writes_go_on()
        for writer in self.writers:
            writer.stop()
        gaps = [writer.gap() for writer in self.writers]
        print(f"{what}: {sum(len(w.acknowledged) for w in self.writers)} writes, none failed; "
              f"the longest pauses: {', '.join(f'{gap * 1000:.0f} ms' for gap in gaps)}", flush=True)
        self.assertEqual([error for writer in self.writers for error in writer.errors], [])
        self.check_writers(*self.writers)
        self.assertLess(max(gaps), gap_seconds_max)

    def json(self, *arguments):
        return json.loads(self.kvctl(*arguments, "-o", "json").stdout)

    def id_of(self, node):
        return next(one["node_id"] for one in self.json("node", "list")["nodes"]
                    if one["address"] == node.address and one["role"] == "active")

    def voters(self):
        """Of each shard."""
        return {shard["group_id"]: set(shard["voters"])
                for shard in self.json("shard", "list")["shards"]}

    def whole(self, nodes):
        """Every shard has all of its replicas, on these nodes, and each of them has some."""
        ids = {self.id_of(node) for node in nodes}
        held = list(self.voters().values())
        return (all(len(voters) == REPLICAS and voters <= ids for voters in held)
                and set().union(*held) == ids)

    def join_another(self):
        node = Node(self.directory, len(self.nodes) + 1, free_ports(2))
        self.nodes.append(node)
        node.start(self.join[:1], 0)
        return node

    def directory_leader(self):
        return next(node for node in self.nodes if node.running()
                    and node.metric('flotilla_raft_leader{group="1"}') == 1)

    def test_three_nodes_become_six_and_three_others(self):
        self.begin(3)
        first = list(self.nodes)
        new = [self.join_another() for _ in range(3)]
        self.wait_ready(new)
        wait_for("every node to have replicas", lambda: self.whole(self.nodes))
        self.writes_go_on()
        # The directory's leader is one of the first.
        self.assertIn(self.directory_leader(), first)
        for node in first:
            number = self.id_of(node)
            # By the one that goes, who cannot say how it ended.
            self.kvctl("node", "decommission", number, nodes=[node])
            self.assertFalse(any(number in voters for voters in self.voters().values()))
            wait_for("the node to know that it has left", lambda: not node.ready())
            self.writes_go_on()
            node.end(signal.SIGTERM)
            self.nodes.remove(node)
            self.writes_go_on()
        self.assertTrue(self.whole(new))
        self.end("3 nodes became 6, and 3 others", 5.0)

    def test_a_dead_node_is_replaced_by_an_empty_one(self):
        self.begin(3)
        dead = next(node for node in self.nodes if node is not self.directory_leader())
        number = self.id_of(dead)
        dead.end(signal.SIGKILL)
        shutil.rmtree(dead.data)
        self.writes_go_on()
        living = self.others(dead)
        self.kvctl("member", "remove", number, nodes=living)
        self.assertFalse(any(number in voters for voters in self.voters().values()))
        dead.start([node.address for node in living], 0)
        self.wait_ready([dead])
        wait_for("the replicas to return", lambda: self.whole(self.nodes))
        self.assertNotEqual(self.id_of(dead), number)  # whose votes it does not remember
        self.end("a dead node was replaced", 5.0)

    def caught_up(self):
        return harness.caught_up(self.json("group", "list"))

    def test_nodes_restart_one_after_the_other(self):
        self.begin(3)
        for node in self.nodes:
            node.end(signal.SIGTERM)
            self.assertEqual(node.process.returncode, 0)
            self.start(node)
            self.wait_ready([node])
            wait_for("every group to have caught up", self.caught_up)
            self.writes_go_on()
        self.end("3 nodes restarted", 5.0)


class HotRange(harness.Cluster):
    """A shard is hot from a few requests a second on."""

    FLAGS = ("--split-load", "300")

    def shards(self):
        return json.loads(self.kvctl("shard", "list", "-o", "json").stdout)["shards"]

    def test_a_hot_range_is_split_and_its_halves_get_leaders_of_their_own(self):
        self.form(3)
        self.assertEqual(len(self.shards()), 1)
        writer = Writer(self.shell())
        self.addCleanup(writer.stop)
        load = subprocess.Popen(
            [harness.program("kvctl"), "--endpoints", self.endpoints(), "bench", "--op", "mixed",
             "--outstanding", "16", "--duration", "60s"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)

        def parted():
            leaders = {shard.get("leader_id") for shard in self.shards()}
            return len(leaders - {None, "0"}) > 1

        wait_for("the range to be split, and led by several nodes", parted, 50)
        load.kill()
        writer.stop()
        self.assertEqual(writer.errors, [])
        self.check_writers(writer)


if __name__ == "__main__":
    unittest.main(verbosity=2)
