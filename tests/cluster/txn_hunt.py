#!/usr/bin/env python3
"""Checked transactions over real processes that are killed and paused meanwhile.

usage: txn_hunt.py BIN_DIRECTORY [--transactions N] [--rounds N] [--nodes N] [--seed N]

In each round the bank (bank.cc) and the lists (lists.cc) run while one fault follows another, until
they have had their share of the transactions. After the round's last fault they end, and every lock
has to be gone within 15 s. Exits non-zero when money was made or lost, an anomaly was found, or a
lock stayed.
"""

import argparse
import json
import random
import signal
import sys
import time

import harness
from harness import Load

LOCKS_GONE_SECONDS = 15.0
ACCOUNTS_TOTAL = 60_000


class TxnHunt(harness.Measurement):
    def prepare(self, nodes, seed):
        self.random = random.Random(seed)
        self.form(nodes)
        self.kvctl("keyspace", "create", "money", "--partitioning", "hash", "--shards", "6")
        self.kvctl("keyspace", "create", "lists", "--split-at", "list10", "--split-at", "list20",
                   "--split-at", "list30")
        self.faults = {}

    def fault(self):
        """One node is killed, paused or told to stop, and back when this ends; or all are killed."""
        what = self.random.choices(["kill", "pause", "stop", "kill all"], [5, 4, 1, 1])[0]
        self.faults[what] = self.faults.get(what, 0) + 1
        victims = self.nodes if what == "kill all" else [self.random.choice(self.nodes)]
        for victim in victims:
            if what == "pause":
                victim.send(signal.SIGSTOP)
            else:
                victim.end(signal.SIGTERM if what == "stop" else signal.SIGKILL)
        time.sleep(self.random.uniform(0.2, 6.0 if what == "pause" else 2.0))
        for victim in victims:
            if what == "pause":
                victim.send(signal.SIGCONT)
            else:
                self.start(victim)
        return time.monotonic()

    def locks(self):
        listed = self.kvctl("lock", "list", "-o", "json", check=False)
        if listed.returncode:
            return None
        return json.loads(listed.stdout)["locks"]

    def wait_until_unlocked(self, healed):
        """How long after the last fault the last lock went."""
        while (left := self.locks()) != []:
            gone = time.monotonic() - healed
            self.assertLess(gone, LOCKS_GONE_SECONDS, f"locks: {left}")
            time.sleep(0.05)
        return time.monotonic() - healed

    def round(self, share):
        """Committed and checked transactions of both, and how long locks stayed."""
        loads = [Load("bank", self.endpoints(), "money"), Load("lists", self.endpoints(), "lists")]
        for load in loads:
            self.addCleanup(load.process.kill)

        def committed():
            return sum(load.counts()["committed"] for load in loads)

        healed = time.monotonic()
        while committed() < share:
            time.sleep(self.random.uniform(1.0, 6.0))
            healed = self.fault()
            self.wait_ready()
        counts = [load.counts() for load in loads]
        for load in loads:
            end = load.close()
            self.assertEqual(end, (0, ""), load.name)
        gone = self.wait_until_unlocked(healed)
        rows = self.rows("account/", keyspace="money")
        self.assertEqual(sum(int(value) for value in rows.values()), ACCOUNTS_TOTAL)
        return counts, gone


def main():
    harness.start()
    parser = argparse.ArgumentParser()
    parser.add_argument("--transactions", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    total = 0
    longest = 0.0
    with TxnHunt() as hunt:
        hunt.prepare(arguments.nodes, arguments.seed)
        for number in range(1, arguments.rounds + 1):
            counts, gone = hunt.round(arguments.transactions // arguments.rounds)
            total += sum(one["committed"] for one in counts)
            longest = max(longest, gone)
            print(f"round {number}: bank {counts[0]}, lists {counts[1]}; locks gone after "
                  f"{gone:.1f} s; faults so far {hunt.faults}", flush=True)
    print(f"{total} transactions committed and checked, {sum(hunt.faults.values())} faults: no "
          f"violation; every lock gone within {longest:.1f} s of the last fault", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
