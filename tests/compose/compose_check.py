#!/usr/bin/env python3
"""The compose files on a real Docker engine: kill, pause, cut off, restart one container after the
other; no acknowledged write is lost. With 5 nodes: replicas in three zones.

usage: compose_check.py NODES

Containers, network and volumes are named flotilla-check-*, and are removed at the end.
"""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
import harness  # noqa: E402
from harness import REPOSITORY, Writer, free_ports, wait_for  # noqa: E402


def run(*command, check=True, env=None):
    done = subprocess.run(command, text=True, capture_output=True, env=env)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout


class Cluster:
    def __init__(self, count):
        self.names = [f"n{i}" for i in range(1, count + 1)]
        self.project = f"flotilla-check-{count}"
        self.file = REPOSITORY / "deploy" / f"compose-{count}.yaml"
        ports = free_ports(2 * count + 1)
        self.port = dict(zip(self.names, ports))
        self.http = dict(zip(self.names, ports[count:]))
        self.prometheus = ports[-1]
        self.env = dict(os.environ, FLOTILLA_PROMETHEUS_PORT=str(self.prometheus))
        for name in self.names:
            self.env[f"FLOTILLA_{name.upper()}_PORT"] = str(self.port[name])
            self.env[f"FLOTILLA_{name.upper()}_HTTP_PORT"] = str(self.http[name])
        self.network = f"{self.project}_default"
        self.inner = ",".join(f"{name}:7101" for name in self.names)

    def compose(self, *arguments):
        return run("docker-compose", "-p", self.project, "-f", str(self.file), *arguments,
                   env=self.env)

    def container(self, name):
        return self.compose("ps", "-q", name).strip()

    def health(self, name):
        return run("docker", "inspect", "-f", "{{.State.Health.Status}}",
                   self.container(name)).strip()

    def wait_healthy(self, names=None, seconds=60):
        for name in names or self.names:
            wait_for(f"{name} to be healthy", lambda name=name: self.health(name) == "healthy",
                     seconds)

    def kvctl(self, *arguments, check=True):
        """kvctl in a container of its own, as an application beside the cluster would be."""
        return run("docker", "run", "--rm", "--network", self.network, "--entrypoint", "kvctl",
                   "flotilla", "--endpoints", self.inner, *arguments, check=check)

    def shell(self, keyspace):
        return ["docker", "run", "--rm", "-i", "--network", self.network, "--entrypoint", "kvctl",
                "flotilla", "--endpoints", self.inner, "--keyspace", keyspace, "--timeout", "5s",
                "shell"]

    def leader(self):
        found = None

        def look():
            nonlocal found
            try:
                status = json.loads(self.kvctl("status", "-o", "json", check=False))
            except json.JSONDecodeError:
                return False
            for node in status["nodes"]:
                if node.get("role") == "leader" and node["node_id"] == status["leader_id"]:
                    found = node["address"].split(":")[0]
            return found is not None

        wait_for("a leader", look, 30)
        return found


def verify(cluster, writer):
    for name in cluster.names:
        found = dict(line.split("\t") for line in run(
            "docker", "exec", cluster.container(name), "kvctl", "--keyspace", writer.keyspace,
            "scan", "--prefix", writer.prefix, "-o", "plain").splitlines())
        lost = [n for n in writer.acknowledged if found.get(writer.key(n)) != writer.value(n)]
        if lost:
            raise AssertionError(f"{name}: {len(lost)} acknowledged writes are gone: {lost[:10]}")


def fault(cluster, writer, what, strike, heal):
    """Strikes the leader, sees writes go on, heals it, sees it come back."""
    leader = cluster.leader()
    writer.gap()
    strike(leader)
    writer.wait_for_more(300)
    gap = writer.gap()
    heal(leader)
    cluster.wait_healthy()
    writer.wait_for_more(100)
    print(f"  {what} {leader}, the leader: writes went on after {gap:.2f} s at most; it is back",
          flush=True)


def caught_up(cluster):
    listed = cluster.kvctl("group", "list", "-o", "json", check=False)
    return bool(listed) and harness.caught_up(json.loads(listed), lag_max=1000)


def rolling_restart(cluster, writer):
    """As deploy/README.md says; a new container of each node, on its old volume."""
    told = len(writer.errors)
    writer.gap()
    for name in cluster.names:
        cluster.compose("up", "-d", "--no-deps", "--force-recreate", name)
        cluster.wait_healthy()
        wait_for("every group to have caught up", lambda: caught_up(cluster))
        writer.wait_for_more(100)
    if writer.errors[told:]:
        raise AssertionError(f"a client saw the restart: {writer.errors[told:]}")
    print(f"  one container after the other was replaced: writes went on after "
          f"{writer.gap():.2f} s at most", flush=True)


def check_zones(cluster):
    """Each shard of the keyspace that `init` has made is in all three zones."""
    cluster.compose("up", "-d", "--no-deps", "init")

    def shards():
        found = cluster.kvctl("--keyspace", "fleet", "shard", "list", "-o", "json", check=False)
        return json.loads(found)["shards"] if found else []

    wait_for("the keyspace", shards, 60)
    zones = {node["node_id"]: node["labels"]["zone"]
             for node in json.loads(cluster.kvctl("node", "list", "-o", "json"))["nodes"]}

    def apart():
        placed = [sorted(zones[node] for node in shard["voters"]) for shard in shards()]
        return len(placed) == 8 and all(one == ["a", "b", "c"] for one in placed)

    wait_for("each shard to be in three zones", apart, 60)
    print("  each of 8 shards has its replicas in three zones", flush=True)


def check_monitoring(cluster):
    cluster.compose("--profile", "monitoring", "up", "-d", "prometheus")

    def up():
        try:
            url = f"http://127.0.0.1:{cluster.prometheus}/api/v1/query?query=sum(up)"
            with urllib.request.urlopen(url, timeout=2) as answer:
                result = json.load(answer)["data"]["result"]
            return result and int(result[0]["value"][1]) == len(cluster.names)
        except OSError:
            return False

    wait_for("Prometheus to scrape every node", up, 60)
    print("  Prometheus scrapes every node", flush=True)


def check_from_host(cluster):
    for name in cluster.names:
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.http[name]}/metrics",
                                    timeout=5) as answer:
            assert b"flotilla_" in answer.read()
        on_host = ["docker", "run", "--rm", "--network", "host", "--entrypoint", "kvctl",
                   "flotilla", "--endpoints", f"127.0.0.1:{cluster.port[name]}"]
        run(*on_host, "put", f"host/{name}", "seen")
        assert run(*on_host, "get", f"host/{name}").strip() == "seen"
    print("  every published port reads and writes", flush=True)


def check(cluster):
    cluster.compose("up", "-d", *cluster.names)
    cluster.wait_healthy()
    print(f"  {len(cluster.names)} containers have formed a cluster", flush=True)
    check_from_host(cluster)
    keyspace = ""
    if len(cluster.names) == 5:
        check_zones(cluster)
        keyspace = "fleet"
    writer = Writer(cluster.shell(keyspace), keyspace=keyspace)
    try:
        writer.wait_for_more(200)
        rolling_restart(cluster, writer)
        fault(cluster, writer, "killed", lambda name: run("docker", "kill", cluster.container(name)),
              lambda name: cluster.compose("start", name))
        fault(cluster, writer, "paused", lambda name: run("docker", "pause", cluster.container(name)),
              lambda name: run("docker", "unpause", cluster.container(name)))
        fault(cluster, writer, "cut off",
              lambda name: run("docker", "network", "disconnect", cluster.network,
                               cluster.container(name)),
              lambda name: run("docker", "network", "connect", "--alias", name, cluster.network,
                               cluster.container(name)))
    finally:
        writer.stop()
    verify(cluster, writer)
    print(f"  all {len(writer.acknowledged)} acknowledged writes are there, on every node",
          flush=True)
    cluster.compose("stop", *cluster.names)
    for name in cluster.names:
        code = run("docker", "inspect", "-f", "{{.State.ExitCode}}",
                   run("docker", "ps", "-aq", "-f",
                       f"name={cluster.project}_{name}_1").strip()).strip()
        if code != "0":
            raise AssertionError(f"{name} did not stop cleanly: exit code {code}")
    cluster.compose("start", *cluster.names)
    cluster.wait_healthy()
    verify(cluster, writer)
    print("  stopped cleanly, started again: still there", flush=True)
    if len(cluster.names) == 3:
        check_monitoring(cluster)


def main():
    count = int(sys.argv[1])
    cluster = Cluster(count)
    remove = ("--profile", "monitoring", "down", "-v", "--remove-orphans", "-t", "2")
    cluster.compose(*remove)
    print(f"compose-{count}.yaml:", flush=True)
    try:
        check(cluster)
    except AssertionError as failure:
        print(cluster.compose("logs", "--no-color", "--tail", "20"))
        sys.exit(f"FAILED: {failure}")
    finally:
        cluster.compose(*remove)
    print(f"PASSED: compose-{count}.yaml", flush=True)


if __name__ == "__main__":
    main()
