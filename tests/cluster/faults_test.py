#!/usr/bin/env python3
"""Real kvd processes on bad ground: disks that hang, are full or decay, descriptors that run out.

usage: [ALL_FAULTS=1] faults_test.py BIN_DIRECTORY [TEST...]
"""

import os
import resource
import socket
import subprocess
import threading
import unittest

import harness
from harness import Writer, fetch, wait_for

harness.start()
REFUSED = 6  # kvctl's exit code


def hanging(variable):
    """A node's disk hangs, as the variable says, while the file `hangs` is in its directory."""
    return lambda node: {"LD_PRELOAD": str(harness.library("disk_faults")),
                         variable: str(node.directory / "hangs")}


class SlowDisk(harness.Cluster):
    def test_a_leader_whose_disk_hangs_looks_slow_and_is_replaced(self):
        # One core, and one thread for whatever does not wait for a disk.
        cores = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, cores)
        os.sched_setaffinity(0, {min(cores)})
        self.form(3, env=hanging("DISK_HANGS"))
        writer = Writer(self.shell())
        self.addCleanup(writer.stop)
        writer.wait_for_more(20)
        leader = self.wait_for_leader()
        writer.gap()
        hangs = leader.directory / "hangs"
        hangs.touch()
        wait_for("another leader",
                 lambda: any(node.leads() for node in self.others(leader)), 5)
        writer.wait_for_more(20)
        self.assertLess(writer.gap(), 2)
        self.assertFalse(leader.leads())
        status, page = fetch(f"http://{leader.http}/readyz")
        self.assertEqual((status, page), (503, "the disk does not answer\n"))
        shown = self.kvctl("status", check=False)
        self.assertEqual(shown.returncode, 9)
        self.assertIn("its disk does not answer", shown.stdout)
        # A follower now: it acknowledges nothing, and the others go on without it.
        writer.wait_for_more(20)
        hangs.unlink()
        self.wait_ready([leader])
        writer.stop()
        self.check_writers(writer)

    def test_a_flush_that_hangs_holds_up_nobody_who_asks_how_the_node_is(self):
        # RocksDB holds a lock while it waits for a directory of its own.
        self.form(1, env=hanging("DIRECTORIES_HANG"))
        node = self.nodes[0]
        self.kvctl("put", "k", "v")
        hangs = node.directory / "hangs"
        self.addCleanup(lambda: hangs.unlink(missing_ok=True))
        hangs.touch()
        flush = threading.Thread(target=self.kvctl, args=("group", "snapshot", "2"),
                                 kwargs={"check": False})
        flush.start()
        wait_for("a flush that hangs", (node.directory / "hangs.met").exists, 5)
        for _ in range(8):
            self.assertIn("serving", self.kvctl("status").stdout)
            self.assertEqual(fetch(f"http://{node.http}/metrics")[0], 200)
        hangs.unlink()
        flush.join()
        self.kvctl("put", "k", "w")  # meanwhile it may have had to wait

    def test_the_only_node_is_not_given_up_while_its_disk_is_slow(self):
        self.form(1, env=hanging("DISK_HANGS"))
        self.kvctl("put", "k", "v")
        hangs = self.nodes[0].directory / "hangs"
        hangs.touch()
        # Longer than a client would wait for a node that shows no life.
        threading.Timer(6, hangs.unlink).start()
        self.kvctl("put", "k", "w", "--timeout", "30s")
        self.assertFalse(hangs.exists())
        self.assertEqual(self.kvctl("get", "k").stdout, "w")


class FullDisk(harness.Cluster):
    FLAGS = ("--wal-segment", "1MiB", "--memtable", "1MiB", "--compact-after", "2MiB",
             "--write-buffer", "8MiB", "--wal-cache", "1MiB", "--disk-reserve", "8MiB")

    def mount(self, node):
        node.data.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", node.data],
                              capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", node.data], check=True)

    def fill(self, prefix, count=2000):
        """Writes until it is refused; how many got through, and the refusal."""
        for number in range(count):
            done = self.kvctl("put", f"{prefix}{number}", "x" * 100_000, "--timeout", "2s",
                              check=False)
            if done.returncode == REFUSED:
                return number, done
        self.fail("the disk never filled up")

    def test_reads_go_on_and_space_given_back_is_used_again(self):
        self.form(3, prepare=self.mount)
        self.kvctl("put", "k", "v")
        ballasts = [node.data / "ballast" for node in self.nodes]
        for ballast in ballasts:
            ballast.write_bytes(bytes(16 << 20))
        filled, refusal = self.fill("a")
        self.assertIn("is full", refusal.stderr)
        for _ in range(2):
            self.assertEqual(self.kvctl("get", "k").stdout, "v")
            self.assertEqual(len(self.kvctl("get", f"a{filled - 1}").stdout), 100_000)
        for node in self.nodes:
            self.assertTrue(node.running(), node.log())
        for ballast in ballasts:
            ballast.unlink()
        wait_for("writes to go on",
                 lambda: self.kvctl("put", "k", "w", check=False).returncode == 0)
        again, _ = self.fill("b")
        self.assertGreater(again, 50)
        self.assertEqual(self.kvctl("get", "k").stdout, "w")
        self.assertEqual(len(self.kvctl("get", f"a{filled - 1}").stdout), 100_000)

    @unittest.skipUnless(os.environ.get("ALL_FAULTS"), "takes long: ./dev cluster-test runs it")
    def test_a_node_that_had_no_reserve_waits_for_space_too(self):
        self.form(1, prepare=self.mount)
        node = self.nodes[0]
        node.end()
        node.flags = [*node.flags, "--disk-reserve", "0"]
        self.start(node)
        self.wait_ready()
        ballast = node.data / "ballast"
        ballast.write_bytes(bytes(16 << 20))
        filled, _ = self.fill("a")
        self.assertTrue(node.running(), node.log())
        ballast.unlink()
        wait_for("writes to go on",
                 lambda: self.kvctl("put", "k", "w", "--timeout", "2s", check=False).returncode == 0)
        self.assertEqual(len(self.kvctl("get", f"a{filled - 1}").stdout), 100_000)


class Descriptors(harness.Cluster):
    LIMIT = 256

    def start(self, node):
        bound = (self.LIMIT, self.LIMIT)
        node.start(self.join, len(self.join),
                   before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, bound))

    def test_connections_are_refused_before_descriptors_run_out(self):
        self.form(3)
        writer = Writer(self.shell())
        self.addCleanup(writer.stop)
        writer.wait_for_more(5)
        leader = self.wait_for_leader()
        host, port = leader.address.split(":")
        crowd = [socket.create_connection((host, int(port)), timeout=10)
                 for _ in range(2 * self.LIMIT)]
        wait_for("the node to refuse", lambda: "file descriptors are in use" in leader.log())
        self.assertLess(len(os.listdir(f"/proc/{leader.process.pid}/fd")), self.LIMIT - 20)
        writer.wait_for_more(20)
        self.assertNotEqual(
            self.kvctl("get", "k", "--timeout", "1s", check=False, nodes=[leader]).returncode, 0)
        for connection in crowd:
            connection.close()
        wait_for("connections to be accepted again",
                 lambda: self.kvctl("put", "k", "v", "--timeout", "2s", check=False,
                                    nodes=[leader]).returncode == 0)
        self.assertIn("connections are accepted again", leader.log())
        writer.stop()
        self.check_writers(writer)


class DecayTest(harness.Cluster):
    """Files that changed under a node that was down: it says which, where, and what to do."""

    def flip(self, path, offset):
        content = bytearray(path.read_bytes())
        content[offset] ^= 0x40
        path.write_bytes(content)

    def refused(self, node, *said):
        before = len(node.log())
        self.start(node)
        try:
            code = node.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            code = None
        log = node.log()[before:]
        self.assertEqual(code, 1, f"{said}: {log}")
        for text in said:
            self.assertIn(text, log)


class Decay(DecayTest):
    FLAGS = ("--wal-segment", "1MiB", "--memtable", "1MiB")

    def test_each_kind_of_file_is_refused_by_name(self):
        self.form(1)
        node = self.nodes[0]
        for number in range(40):
            self.kvctl("put", f"k{number}", "x" * 50_000 + str(number))
        wait_for("a table", lambda: list(node.data.glob("groups/2/db/*.sst")))
        node.end()
        database = node.data / "groups/2/db"
        segments = sorted((node.data / "wal").glob("*.log"))
        self.assertGreater(len(segments), 1)
        # With its summary it would not be read: nothing of it is needed.
        (node.data / "wal" / (segments[0].stem + ".summary")).unlink()
        current = database / (database / "CURRENT").read_text().strip()
        tables = list(database.glob("*.sst"))
        join_again = "join"
        for paths, offset, said in (
                ([segments[0]], 5000, [str(segments[0]), "at offset ", join_again]),
                ([node.data / "IDENTITY"], 30, [str(node.data / "IDENTITY"), join_again]),
                ([current], 20, [current.name, join_again]),
                (tables, -10, [str(database), join_again])):
            whole = {path: path.read_bytes() for path in paths}
            for path in paths:
                self.flip(path, offset)
            self.refused(node, *said)
            for path, content in whole.items():
                path.write_bytes(content)
        self.start(node)
        self.wait_ready()
        self.assertEqual(self.kvctl("get", "k7").stdout, "x" * 50_000 + "7")


class UnappliedDecay(DecayTest):
    FLAGS = ("--wal-segment", "1MiB")

    def test_an_entry_that_is_yet_to_be_applied_is_refused_by_name(self):
        self.form(1)
        node = self.nodes[0]
        for number in range(40):
            self.kvctl("put", f"k{number}", "x" * 50_000 + str(number))
        node.end()
        segment = sorted((node.data / "wal").glob("*.log"))[0]
        self.assertTrue(segment.with_suffix(".summary").exists())
        self.flip(segment, 300_000)
        self.refused(node, str(segment), "offset", "join")
        self.flip(segment, 300_000)
        self.start(node)
        self.wait_ready()
        self.assertEqual(self.kvctl("get", "k7").stdout, "x" * 50_000 + "7")


if __name__ == "__main__":
    unittest.main(verbosity=2)
