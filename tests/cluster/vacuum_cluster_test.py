#!/usr/bin/env python3
"""Old versions over real kvd processes: they go, with the space that they take; who holds that up.

usage: vacuum_cluster_test.py BIN_DIRECTORY [TEST...]
"""

import json
import pathlib
import subprocess
import time
import unittest

import harness
from harness import wait_for

harness.start()

KEYS = 200
VALUE_BYTES = 2048
LIVE_BYTES = KEYS * (VALUE_BYTES + 32)


class Vacuum(harness.Cluster):
    # Nothing by itself but what a test asks for.
    FLAGS = ("--memtable", "1MiB", "--vacuum", "false")

    def setUp(self):
        super().setUp()
        self.form(3)
        self.kvctl("keyspace", "create", "brief", "--retention", "1s")

    def overwrite(self, rounds):
        """Each key so often, with values that cannot be compressed."""
        random = pathlib.Path("/dev/urandom").open("rb")
        self.addCleanup(random.close)
        for _ in range(rounds):
            lines = [f"put key{key:04} {random.read(VALUE_BYTES // 2).hex()}" for key in range(KEYS)]
            done = subprocess.run(
                [harness.program("kvctl"), "--endpoints", self.endpoints(), "--keyspace", "brief",
                 "batch", "-f", "-"], input="\n".join(lines), text=True, capture_output=True)
            self.assertEqual(done.returncode, 0, done.stderr)

    def group(self):
        shards = json.loads(self.kvctl("shard", "list", "-o", "json").stdout)["shards"]
        return next(shard["group_id"] for shard in shards if shard["keyspace"] == "brief")

    def table_bytes(self, node, group):
        tables = pathlib.Path(node.data).glob(f"groups/{group}/db/*.sst")
        return sum(table.stat().st_size for table in tables)

    def status(self):
        return json.loads(self.kvctl("vacuum", "status", "-o", "json", "--keyspace", "brief").stdout)

    def run_vacuum(self):
        done = self.kvctl("vacuum", "run", "-o", "json", "--keyspace", "brief", timeout=120)
        return json.loads(done.stdout)["runs"]

    def test_space_comes_back_and_the_oldest_reader_is_named(self):
        self.overwrite(1)
        script = subprocess.Popen(
            [harness.program("kvctl"), "--endpoints", self.endpoints(), "--keyspace", "brief",
             "txn", "--read-only", "--lifetime", "5m", "-o", "json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.addCleanup(script.communicate)
        self.addCleanup(script.kill)
        script.stdin.write("begin\nget key0000\n")
        script.stdin.flush()
        listed = lambda: json.loads(self.kvctl("txn", "list", "-o", "json").stdout)["transactions"]
        wait_for("the transaction to be open", listed)
        reader = listed()[0]
        self.overwrite(30)
        group = self.group()
        # What it reads is kept on all nodes, and everybody knows for whom.
        time.sleep(12)
        self.assertEqual([run["versions_dropped"] for run in self.run_vacuum()], ["0"] * 3)
        before = [self.table_bytes(node, group) for node in self.nodes]
        for size in before:
            self.assertGreater(size, 10 * LIVE_BYTES)
        status = self.status()
        self.assertEqual(len(status["groups"]), 3)
        for one in status["groups"]:
            self.assertTrue(one["held_up"], one)
            self.assertGreater(int(one["dead_versions"]), 20 * KEYS)
            self.assertEqual(one["due_versions"], "0")
        for heard in status["oldest_readers"]:
            self.assertEqual(heard["transaction_id"], reader["transaction_id"])
            self.assertEqual(heard["node_id"], reader["node_id"])
        shown = self.kvctl("vacuum", "status", "-o", "table", "--keyspace", "brief").stdout
        self.assertIn(f"transaction {reader['transaction_id']} of n{reader['node_id']}", shown)
        self.kvctl("txn", "abort", reader["transaction_id"])
        wait_for("nobody to hold it up",
                 lambda: not any(one["held_up"] for one in self.status()["groups"]))
        runs = self.run_vacuum()
        self.assertEqual([run["versions_dropped"] for run in runs], [str(30 * KEYS)] * 3)
        for node in self.nodes:
            wait_for("the space", lambda node=node: self.table_bytes(node, group) < 2 * LIVE_BYTES)
        self.assertEqual(len(self.rows("key", keyspace="brief")), KEYS)

    def test_a_key_has_its_history_until_it_is_collected(self):
        brief = ("--keyspace", "brief")
        self.kvctl(*brief, "put", "key", "plain")
        first = self.kvctl("timestamp").stdout.strip()
        self.kvctl(*brief, "txn", "-c", "put key by-transaction; commit")
        self.kvctl(*brief, "delete", "key")
        history = json.loads(self.kvctl(*brief, "history", "key", "-o", "json").stdout)
        deleted, second, plain = history["versions"]
        self.assertEqual(deleted["kind"], "deleted")
        self.assertNotIn("superseded_by", deleted)
        self.assertEqual(second["value_text"], "by-transaction")
        self.assertNotEqual(second["transaction_id"], "0")
        self.assertEqual(second["superseded_by"]["kind"], "deleted")
        self.assertEqual(plain["transaction_id"], "0")
        self.assertEqual(plain["superseded_by"],
                         {"version": second["version"], "kind": "put",
                          "transaction_id": second["transaction_id"]})  # fmt: skip
        table = self.kvctl(*brief, "history", "key", "-o", "table").stdout
        self.assertIn(f"superseded at {second['version']} by transaction", table)
        one = json.loads(self.kvctl(*brief, "history", "key", "--limit", "1", "-o", "json").stdout)
        self.assertEqual(one["versions"], [deleted])
        self.assertEqual(one["next_before"], deleted["version"])
        self.assertEqual(self.kvctl(*brief, "--at", first, "get", "key").stdout, "plain")
        time.sleep(12)
        self.run_vacuum()
        history = json.loads(self.kvctl(*brief, "history", "key", "-o", "json").stdout)
        self.assertEqual([one["kind"] for one in history["versions"]], ["deleted"])
        late = self.kvctl(*brief, "--at", first, "get", "key", check=False)
        self.assertEqual(late.returncode, 1, late.stderr)
        self.assertIn("keeps no whole history", late.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
