#!/usr/bin/env python3
"""Transactions over real kvd processes: the C++ client, kvctl, and nodes that are killed meanwhile.

usage: transactions_test.py BIN_DIRECTORY [TEST...]
"""

import json
import signal
import subprocess
import unittest

import harness
from harness import Load, wait_for

harness.start()


class Transactions(harness.Cluster):
    def setUp(self):
        super().setUp()
        self.form(3)
        self.kvctl("keyspace", "create", "money", "--partitioning", "hash", "--shards", "6")

    def txn(self, commands, *flags, check=True):
        return self.kvctl("--keyspace", "money", "txn", *flags, "-c", commands, check=check)

    def open_script(self, *flags):
        """A `kvctl txn` that is spoken to; dead with the test."""
        script = subprocess.Popen(
            [harness.program("kvctl"), "--endpoints", self.endpoints(), "--keyspace", "money",
             "txn", *flags, "-o", "json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, script)
        return script

    @staticmethod
    def end(script):
        script.kill()
        script.wait()
        for stream in (script.stdin, script.stdout, script.stderr):
            stream.close()

    @staticmethod
    def say(script, command):
        script.stdin.write(command + "\n")
        script.stdin.flush()

    def ask(self, script, command):
        self.say(script, command)
        return json.loads(script.stdout.readline())

    def finish(self, script, command):
        """The exit code."""
        self.say(script, command)
        script.stdin.close()
        return script.wait(timeout=30)

    def listed(self):
        return json.loads(self.kvctl("txn", "list", "-o", "json").stdout)["transactions"]

    def test_money_is_neither_made_nor_lost_while_nodes_are_killed(self):
        bank = Load("bank", self.endpoints(), "money")
        self.addCleanup(bank.process.kill)
        bank.wait_for_more(50, 10)
        for victim in list(self.nodes):
            victim.end(signal.SIGKILL)
            bank.wait_for_more(50, 10)
            self.start(victim)
            self.wait_ready([victim])
            bank.wait_for_more(20, 5)
        self.assertEqual(bank.close(), (0, ""))
        rows = self.rows("account/", keyspace="money")
        self.assertEqual(sum(int(value) for value in rows.values()), 60_000)
        wait_for("nothing to be left open", lambda: not self.listed())

    def test_a_script_reads_its_own_writes_and_takes_them_back(self):
        answer = self.txn("put a 1; put b 2; savepoint s; delete a; put c 3; scan; "
                          "rollback to s; get a; commit").stdout
        self.assertEqual(answer, "b\t2\nc\t3\n1\ncommitted\n")
        self.assertEqual(self.rows(keyspace="money"), {"a": "1", "b": "2"})
        self.assertEqual(self.txn("put z 1; rollback").stdout, "rolled back\n")
        left = self.txn("put z 1", check=False)
        self.assertEqual((left.returncode, left.stdout), (2, ""))
        path = self.directory / "script"
        path.write_text("# a comment; get nothing\nbegin read-committed\n\nget a b\ncommit\n")
        read = self.kvctl("--keyspace", "money", "txn", "-f", str(path))
        self.assertEqual(read.stdout, "a\t1\nb\t2\ncommitted\n")
        wrong = self.txn("begin read-only; put a 2", check=False)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("-c:1", wrong.stderr)
        self.assertEqual(self.rows(keyspace="money"), {"a": "1", "b": "2"})

    def test_locks_are_waited_for_and_shown(self):
        self.txn("put a 1; put b 1; commit")
        holder = self.open_script("--pessimistic")
        self.assertEqual(self.ask(holder, "get a for update")["value_text"], "1")
        number = self.listed()[0]["transaction_id"]
        refused = self.txn("get a for update nowait; commit", check=False)
        self.assertEqual(refused.returncode, 4)
        self.assertIn(f"locked by transaction {number}", refused.stderr)
        self.assertIn("kvctl lock list", refused.stderr)
        skipped = self.txn("get a b for update skip-locked; commit")
        self.assertEqual(skipped.stdout, "b\t1\ncommitted\n")
        self.assertIn("key a is locked", skipped.stderr)
        late = self.txn("put a 2; commit", "--pessimistic", "--lock-timeout", "300ms", check=False)
        self.assertEqual(late.returncode, 4)
        # Who waits in line reads what the one before has written.
        waiter = self.open_script()
        self.say(waiter, "get a for update")
        locks = wait_for("the next in line", lambda: [
            lock for lock in json.loads(self.kvctl("lock", "list", "-o", "json").stdout)["locks"]
            if lock["waiting"] == "1"])
        self.assertEqual(
            [(lock["key_text"], lock["kind"], lock["transaction_id"], lock["keyspace"])
             for lock in locks], [("a", "update", number, "money")])
        self.assertIn("update", self.kvctl("txn", "show", number).stdout)
        self.say(holder, "put a 5")
        self.assertEqual(self.finish(holder, "commit"), 0)
        self.assertEqual(json.loads(waiter.stdout.readline())["value_text"], "5")
        self.assertEqual(self.finish(waiter, "put a 6; commit"), 0)
        wait_for("no lock to be left", lambda: not json.loads(
            self.kvctl("lock", "list", "-o", "json").stdout)["locks"])

    def test_a_deadlock_costs_the_youngest_and_is_remembered(self):
        self.txn("put a 1; put b 1; put c 1; put d 1; commit")
        keys = ("a", "b", "c", "d")
        scripts = [self.open_script() for _ in keys]
        for script, key in zip(scripts, keys):
            self.assertEqual(self.ask(script, f"get {key} for update")["value_text"], "1")
        for script, key in zip(scripts, keys[1:] + keys[:1]):
            self.say(script, f"get {key} for update")
        self.assertEqual(scripts[3].wait(timeout=30), 4)
        self.assertIn("the youngest of those that wait for each other", scripts[3].stderr.read())
        for script in reversed(scripts[:3]):
            self.assertEqual(json.loads(script.stdout.readline())["value_text"], "1")
            self.assertEqual(self.finish(script, "commit"), 0)
        found = json.loads(self.kvctl("lock", "deadlocks", "-o", "json").stdout)["deadlocks"]
        self.assertEqual(len(found), 1, found)
        self.assertEqual(sorted(step["key_text"] for step in found[0]["steps"]), list(keys))
        self.assertEqual(self.kvctl("lock", "deadlocks").stdout.count("yes"), 1)

    def test_a_conflict_has_its_own_exit_code(self):
        self.txn("put a 1; put b 1; commit")
        for level, code in (("serializable", 4), ("repeatable-read", 0)):
            script = self.open_script("--isolation", level)
            self.assertEqual(self.ask(script, "get a")["value_text"], "1")
            self.say(script, "put b 2")
            self.kvctl("--keyspace", "money", "put", "a", "1")
            self.assertEqual(self.finish(script, "commit"), code, level)
            if code:
                self.assertIn("begin it anew", script.stderr.read())
        # Write skew is what the lower level lets through; two writers of one key it does not.
        script = self.open_script("--isolation", "repeatable-read")
        self.ask(script, "get b")
        self.say(script, "put b 3")
        self.kvctl("--keyspace", "money", "put", "b", "4")
        self.assertEqual(self.finish(script, "commit"), 4)
        self.assertEqual(self.rows(keyspace="money")["b"], "4")

    def test_open_transactions_are_listed_and_can_be_ended(self):
        script = self.open_script()
        number = self.ask(script, "begin repeatable-read")["transaction_id"]
        self.say(script, "put a 1")
        self.ask(script, "get a")
        (one,) = self.listed()
        self.assertEqual((one["transaction_id"], one["isolation"], one["phase"],
                          one["keys_written"]), (number, "repeatable read", "open", "1"))
        self.assertLess(int(one["age_ms"]), 30_000)
        self.assertIn(number, self.kvctl("txn", "list").stdout)
        self.kvctl("txn", "abort", number)
        self.assertEqual(self.listed(), [])
        again = self.kvctl("txn", "abort", number, check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("kvctl txn list", again.stderr)
        self.assertEqual(self.finish(script, "commit"), 4)
        self.assertIn("rolled back on request", script.stderr.read())

    def test_a_client_that_dies_leaves_nothing_open(self):
        script = self.open_script()
        self.ask(script, "begin")
        self.assertEqual(len(self.listed()), 1)
        script.kill()
        wait_for("its transaction to be rolled back", lambda: not self.listed(), seconds=10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
