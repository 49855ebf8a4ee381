#!/usr/bin/env python3
"""A client that is not ours: Python's gRPC with stubs made from proto/, against real kvd processes.

usage: python_client_test.py BIN_DIRECTORY [TEST...]
"""

import concurrent.futures
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

import harness
from harness import REPOSITORY, wait_for

harness.start()

# What Debian packages no stubs for.
STANDARD = """
syntax = "proto3";
package %s;
"""
HEALTH = STANDARD % "grpc.health.v1" + """
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse { enum S { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; } S status = 1; }
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
"""
REFLECTION = STANDARD % "grpc.reflection.v1alpha" + """
message ServerReflectionRequest {
  oneof message_request { string file_containing_symbol = 4; string list_services = 7; }
}
message FileDescriptorResponse { repeated bytes file_descriptor_proto = 1; }
message ServiceResponse { string name = 1; }
message ListServiceResponse { repeated ServiceResponse service = 1; }
message ServerReflectionResponse {
  FileDescriptorResponse file_descriptor_response = 4;
  ListServiceResponse list_services_response = 6;
}
service ServerReflection {
  rpc ServerReflectionInfo(stream ServerReflectionRequest) returns (stream ServerReflectionResponse);
}
"""

KIB = 1 << 10
MIB = 1 << 20
KEY_MAX = 16 * KIB
VALUE_MAX = 8 * MIB
BATCH_MAX = 64 * MIB


def make_stubs(directory):
    """Generates Python from the protocol, as any user of it would."""
    (directory / "health.proto").write_text(HEALTH)
    (directory / "reflection.proto").write_text(REFLECTION)
    plugin = shutil.which("grpc_python_plugin")
    subprocess.run(
        ["protoc", f"-I{REPOSITORY / 'proto'}", f"-I{directory}", f"--python_out={directory}",
         f"--grpc_python_out={directory}", f"--plugin=protoc-gen-grpc_python={plugin}",
         "flotilla/v1/kv.proto", "flotilla/v1/transactions.proto", "flotilla/v1/cluster.proto",
         "flotilla/v1/directory.proto", "google/rpc/status.proto", "google/rpc/error_details.proto",
         "health.proto", "reflection.proto"], check=True)
    sys.path.insert(0, str(directory))


STUBS = tempfile.TemporaryDirectory(prefix="flotilla-stubs-")
make_stubs(pathlib.Path(STUBS.name))

import health_pb2 as health  # noqa: E402
import health_pb2_grpc as health_grpc  # noqa: E402
import reflection_pb2 as reflection  # noqa: E402
import reflection_pb2_grpc as reflection_grpc  # noqa: E402
from flotilla.v1 import cluster_pb2 as admin  # noqa: E402
from flotilla.v1 import cluster_pb2_grpc as admin_grpc  # noqa: E402
from flotilla.v1 import directory_pb2 as directory  # noqa: E402
from flotilla.v1 import directory_pb2_grpc as directory_grpc  # noqa: E402
from flotilla.v1 import kv_pb2 as kv  # noqa: E402
from flotilla.v1 import kv_pb2_grpc as kv_grpc  # noqa: E402
from flotilla.v1 import transactions_pb2 as txns  # noqa: E402
from flotilla.v1 import transactions_pb2_grpc as txns_grpc  # noqa: E402
from google.protobuf import descriptor_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402


class Peer:
    """Everything that one node serves, on a channel of its own."""

    def __init__(self, node):
        # A value may have 8 MiB; gRPC takes 4 MiB unless told otherwise.
        self.channel = grpc.insecure_channel(
            node.address, [("grpc.max_receive_message_length", -1),
                           ("grpc.max_send_message_length", -1)])
        self.kv = kv_grpc.KVStub(self.channel)
        self.admin = admin_grpc.ClusterStub(self.channel)
        self.directory = directory_grpc.DirectoryStub(self.channel)
        self.transactions = txns_grpc.TransactionsStub(self.channel)


def info_in(status):
    """The one ErrorInfo of a google.rpc.Status."""
    info = error_details_pb2.ErrorInfo()
    assert len(status.details) == 1, status
    assert status.details[0].Unpack(info)
    return info


def put(key, value=b"v", **more):
    return kv.WriteOperation(put=kv.PutOperation(key=key, value=value, **more))


class Base(unittest.TestCase):
    NODES = 3

    @classmethod
    def setUpClass(cls):
        cls.harness = harness.Cluster("form")
        cls.harness.setUp()
        cls.addClassCleanup(cls.harness.doCleanups)
        cls.harness.form(cls.NODES)
        cls.peers = [Peer(node) for node in cls.harness.nodes]
        for peer in cls.peers:
            cls.addClassCleanup(peer.channel.close)

    def setUp(self):
        """The leader may have moved since the last test."""
        leader = self.harness.wait_for_leader()
        self.leader = self.peers[self.harness.nodes.index(leader)]
        self.follower = next((peer for peer in self.peers if peer is not self.leader), self.leader)
        self.kv = self.follower.kv

    def refused(self, reason, call, *arguments, code=None, **more):
        """The call fails with this reason; gives its message and metadata back."""
        with self.assertRaises(grpc.RpcError) as caught:
            answer = call(*arguments, **more)
            if hasattr(answer, "__next__"):
                list(answer)
        error = caught.exception
        details = [value for key, value in error.trailing_metadata()
                   if key == "grpc-status-details-bin"]
        self.assertEqual(len(details), 1, error)
        status = status_pb2.Status.FromString(details[0])
        info = info_in(status)
        self.assertEqual((info.domain, info.reason), ("flotilla", reason), error)
        self.assertEqual(status.code, error.code().value[0])
        self.assertEqual(status.message, error.details())
        if code is not None:
            self.assertEqual(error.code(), code)
        return status.message, dict(info.metadata)

    def pipeline(self, requests, **more):
        """Answers by id."""
        answers = {}
        for message in self.kv.Pipeline(iter([kv.PipelineRequest(requests=requests)]), **more):
            for response in message.responses:
                self.assertNotIn(response.id, answers)
                answers[response.id] = response
        return answers


class Requests(Base):
    def test_a_value_is_read_back_until_it_is_deleted(self):
        key, value = b"read\0back", bytes(range(256))
        self.assertFalse(self.kv.Get(kv.GetRequest(key=key)).found)
        version = self.kv.Put(kv.PutRequest(key=key, value=value)).version
        for peer in self.peers:
            got = peer.kv.Get(kv.GetRequest(key=key))
            self.assertEqual((got.found, got.value, got.version), (True, value, version))
            self.assertFalse(got.HasField("expires_at"))
            self.assertGreater(got.header.node_id, 0)
        self.assertTrue(self.kv.Delete(kv.DeleteRequest(key=key)).existed)
        self.assertFalse(self.kv.Delete(kv.DeleteRequest(key=key)).existed)
        self.assertFalse(self.kv.Get(kv.GetRequest(key=key)).found)

    def test_an_empty_value_is_a_value(self):
        self.kv.Put(kv.PutRequest(key=b"empty"))
        self.assertTrue(self.kv.Get(kv.GetRequest(key=b"empty")).found)

    def test_eventual_reads_are_answered_by_whoever_is_asked(self):
        self.kv.Put(kv.PutRequest(key=b"eventual", value=b"v"))
        nodes = set()
        for peer in self.peers:
            request = kv.GetRequest(key=b"eventual", consistency=kv.CONSISTENCY_EVENTUAL)
            wait_for("the write to arrive", lambda: peer.kv.Get(request).value == b"v")
            nodes.add(peer.kv.Get(request).header.node_id)
        self.assertEqual(len(nodes), self.NODES)

    def test_a_snapshot_shows_one_moment_of_all_shards(self):
        asked = self.follower.directory
        asked.CreateKeyspace(directory.CreateKeyspaceRequest(
            name="past", partitioning=directory.PARTITIONING_HASH, shards=4))
        header = kv.RequestHeader(keyspace="past")
        for number in range(30):
            self.kv.Put(kv.PutRequest(header=header, key=b"%02d" % number, value=b"old"))
        then = asked.GetTimestamp(directory.GetTimestampRequest()).timestamp
        for number in range(0, 40, 2):
            self.kv.Put(kv.PutRequest(header=header, key=b"%02d" % number, value=b"new"))
        self.kv.Delete(kv.DeleteRequest(header=header, key=b"01"))
        past = dict(header=header, consistency=kv.CONSISTENCY_SNAPSHOT, read_timestamp=then)
        for peer in self.peers:
            rows = [row for page in peer.kv.Scan(kv.ScanRequest(page_size=7, **past))
                    for row in page.rows]
            self.assertEqual([row.key for row in rows], [b"%02d" % number for number in range(30)])
            self.assertEqual({row.value for row in rows}, {b"old"})
            self.assertEqual(peer.kv.Aggregate(kv.AggregateRequest(**past)).count, 30)
            answer = peer.kv.BatchGet(kv.BatchGetRequest(keys=[b"00", b"01", b"38"], **past))
            self.assertEqual([one.value for one in answer.results], [b"old", b"old", b""])
            self.assertEqual(peer.kv.Get(kv.GetRequest(key=b"01", **past)).header.timestamp, then)
        self.assertEqual(self.kv.Aggregate(kv.AggregateRequest(header=header)).count, 34)
        shorter = directory.AlterKeyspaceRequest(name="past")
        shorter.retention.FromSeconds(1)
        asked.AlterKeyspace(shorter)

        def forgotten():
            self.kv.Put(kv.PutRequest(header=header, key=b"01", value=b"new"))
            try:
                self.kv.Get(kv.GetRequest(key=b"01", **past))
                return False
            except grpc.RpcError:
                return True

        wait_for("the past to be forgotten", forgotten)
        self.refused("TIMESTAMP_TOO_OLD", self.kv.Get, kv.GetRequest(key=b"01", **past),
                     code=grpc.StatusCode.OUT_OF_RANGE)
        past["read_timestamp"] = 2 * then
        self.refused("BAD_REQUEST", self.kv.Get, kv.GetRequest(key=b"01", **past))
        asked.DropKeyspace(directory.DropKeyspaceRequest(name="past"))

    def test_compare_and_set_holds_to_its_condition(self):
        def cas(to=None, **condition):
            return self.kv.CompareAndSet(kv.CompareAndSetRequest(
                key=b"cas", value=to, condition=kv.Condition(**condition))).version

        first = cas(b"1", absent=True)
        message, metadata = self.refused("CONDITION_FAILED", cas, b"2", absent=True,
                                         code=grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual(metadata["actual_version"], str(first))
        self.assertEqual(metadata["retry"], "NEVER")
        second = cas(b"2", version=first)
        self.assertGreater(second, first)
        third = cas(b"3", value=b"2")
        self.refused("CONDITION_FAILED", cas, b"x", version=second)
        self.refused("CONDITION_FAILED", cas, b"x", value=b"2")
        self.assertGreater(cas(b"4", exists=True), third)
        cas(exists=True)
        self.assertFalse(self.kv.Get(kv.GetRequest(key=b"cas")).found)
        _, metadata = self.refused("CONDITION_FAILED", cas, b"x", exists=True)
        self.assertEqual(metadata["actual_version"], "0")

    def test_a_batch_is_all_or_nothing(self):
        batch = lambda *operations: self.kv.Batch(kv.BatchRequest(operations=operations))
        done = batch(put(b"batch/a"), put(b"batch/b"), put(b"batch/c"),
                     kv.WriteOperation(delete=kv.DeleteOperation(key=b"batch/a")))
        self.assertEqual(done.deleted, 1)
        self.refused("CONDITION_FAILED", batch, put(b"batch/d"),
                     put(b"batch/b", condition=kv.Condition(absent=True)))
        got = self.kv.BatchGet(kv.BatchGetRequest(
            keys=[b"batch/d", b"batch/b", b"batch/a", b"batch/b"]))
        self.assertEqual([result.found for result in got.results], [False, True, False, True])
        self.assertEqual(got.results[1].version, done.version)

    def test_a_range_is_deleted_in_one_step(self):
        self.kv.Batch(kv.BatchRequest(operations=[put(b"range/%d" % i) for i in range(10)]))
        request = kv.DeleteRangeRequest(start=b"range/3", end=b"range/7")
        self.assertEqual(self.kv.DeleteRange(request).deleted, 4)
        self.assertEqual(self.kv.DeleteRange(request).deleted, 0)
        rows = [row.key for page in self.kv.Scan(kv.ScanRequest(prefix=b"range/"))
                for row in page.rows]
        self.assertEqual(rows, [b"range/%d" % i for i in (0, 1, 2, 7, 8, 9)])

    def test_a_scan_walks_in_order_by_pages_and_goes_on_by_its_token(self):
        keys = [b"scan/%03d" % i for i in range(250)]
        self.kv.Batch(kv.BatchRequest(operations=[put(key, key[::-1]) for key in keys]))

        def scan(**more):
            return list(self.kv.Scan(kv.ScanRequest(prefix=b"scan/", **more)))

        pages = scan(page_size=100)
        self.assertEqual([len(page.rows) for page in pages], [100, 100, 50])
        rows = [row for page in pages for row in page.rows]
        self.assertEqual([row.key for row in rows], keys)
        self.assertEqual([row.value for row in rows], [key[::-1] for key in keys])
        self.assertEqual(pages[-1].continuation_token, b"")
        again = scan(page_size=100, continuation_token=pages[0].continuation_token)
        self.assertEqual(again[0].rows[0].key, keys[100])

        back = [row.key for page in scan(reverse=True, limit=120, page_size=50)
                for row in page.rows]
        self.assertEqual(back, keys[::-1][:120])
        only = scan(keys_only=True, limit=3)
        self.assertEqual([(row.key, row.value) for row in only[0].rows],
                         [(key, b"") for key in keys[:3]])
        self.refused("BAD_TOKEN", scan, reverse=True,
                     continuation_token=pages[0].continuation_token)
        self.refused("BAD_TOKEN", scan, continuation_token=b"forged")

    def test_a_key_with_a_time_to_live_disappears(self):
        request = kv.PutRequest(key=b"mortal", value=b"v")
        request.ttl.FromMilliseconds(300)
        self.kv.Put(request)
        got = self.kv.Get(kv.GetRequest(key=b"mortal"))
        if got.found:
            self.assertAlmostEqual(got.expires_at.ToMilliseconds() / 1000, time.time(), delta=5)
        wait_for("the key to expire",
                 lambda: not self.kv.Get(kv.GetRequest(key=b"mortal")).found)

    def test_a_repeated_write_gets_its_first_answer(self):
        header = kv.RequestHeader(client_id=0xabcdef, sequence=1)
        first = self.kv.Put(kv.PutRequest(header=header, key=b"once", value=b"1"))
        self.kv.Put(kv.PutRequest(key=b"once", value=b"2"))
        again = self.leader.kv.Put(kv.PutRequest(header=header, key=b"once", value=b"1"))
        self.assertEqual(again.version, first.version)
        self.assertEqual(self.kv.Get(kv.GetRequest(key=b"once")).value, b"2")
        later = kv.RequestHeader(client_id=0xabcdef, sequence=5, acknowledged_below=5)
        self.kv.Put(kv.PutRequest(header=later, key=b"once", value=b"3"))
        self.refused("SESSION_EXPIRED", self.kv.Put,
                     kv.PutRequest(header=header, key=b"once", value=b"1"))

    def test_a_pipeline_answers_every_request_by_its_id(self):
        requests = []
        for i in range(1, 1001):
            key = b"pipe/%d" % (i % 50)
            if i % 3 == 0:
                requests.append(kv.Request(id=i, get=kv.GetRequest(key=key)))
            else:
                requests.append(kv.Request(id=i, put=kv.PutRequest(key=key, value=b"%d" % i)))
        requests += [
            kv.Request(id=2001, get=kv.GetRequest()),
            kv.Request(id=2002),
            kv.Request(id=2003, scan=kv.ScanRequest(start=b"b", end=b"a")),
            kv.Request(id=2004, batch_get=kv.BatchGetRequest(keys=[b"pipe/none"])),
        ]
        answers = self.pipeline(requests)
        self.assertEqual(sorted(answers), [request.id for request in requests])
        for i in range(1, 1001):
            self.assertEqual(answers[i].WhichOneof("response"), "get" if i % 3 == 0 else "put")
        for number, reason in ((2001, "BAD_REQUEST"), (2002, "UNIMPLEMENTED"),
                               (2003, "BAD_RANGE")):
            self.assertEqual(info_in(answers[number].error).reason, reason)
        self.assertFalse(answers[2004].batch_get.results[0].found)

    def test_what_is_wrong_is_refused_with_its_reason(self):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        header = kv.RequestHeader(keyspace="other")
        for reason, code, call, request in (
                ("BAD_REQUEST", invalid, self.kv.Get, kv.GetRequest()),
                ("BAD_REQUEST", invalid, self.kv.Batch, kv.BatchRequest()),
                ("BAD_REQUEST", invalid, self.kv.CompareAndSet,
                 kv.CompareAndSetRequest(key=b"k")),
                ("BAD_RANGE", invalid, self.kv.DeleteRange,
                 kv.DeleteRangeRequest(start=b"b", end=b"a")),
                ("BAD_RANGE", invalid, self.kv.Scan, kv.ScanRequest(start=b"b", end=b"a")),
                ("KEYSPACE_NOT_FOUND", grpc.StatusCode.NOT_FOUND, self.kv.Get,
                 kv.GetRequest(header=header, key=b"k")),
                ("CONSISTENCY_UNAVAILABLE", grpc.StatusCode.FAILED_PRECONDITION, self.kv.Get,
                 kv.GetRequest(key=b"k", consistency=9)),
                ("NODE_NOT_FOUND", grpc.StatusCode.NOT_FOUND, self.leader.admin.RemoveReplica,
                 admin.RemoveReplicaRequest(node_id=99)),
                ("NODE_NOT_FOUND", grpc.StatusCode.NOT_FOUND, self.follower.admin.PromoteReplica,
                 admin.PromoteReplicaRequest(node_id=99)),
                ("GROUP_NOT_FOUND", grpc.StatusCode.NOT_FOUND, self.follower.admin.TriggerSnapshot,
                 admin.TriggerSnapshotRequest(group_id=77)),
                ("GROUP_NOT_FOUND", grpc.StatusCode.NOT_FOUND, self.leader.admin.RemoveReplica,
                 admin.RemoveReplicaRequest(group_id=77, node_id=1)),
                ("MEMBERSHIP_REFUSED", grpc.StatusCode.FAILED_PRECONDITION,
                 self.follower.admin.TransferLeadership,
                 admin.TransferLeadershipRequest(node_id=99)),
        ):
            message, metadata = self.refused(reason, call, request, code=code)
            self.assertIn("retry", metadata)
            self.assertGreater(len(message), 10)

    def test_methods_that_do_not_exist_are_unimplemented(self):
        call = self.follower.channel.unary_unary("/flotilla.v1.KV/Nothing")
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_garbage_is_refused_and_harms_nobody(self):
        call = self.follower.channel.unary_unary("/flotilla.v1.KV/Put")
        with self.assertRaises(grpc.RpcError):
            call(b"\xff" * 1000)
        self.kv.Put(kv.PutRequest(key=b"after"))

    def test_status_tells_limits_and_members(self):
        status = self.follower.admin.Status(admin.StatusRequest())
        self.assertEqual(status.limits.key_bytes_max, KEY_MAX)
        self.assertEqual(status.limits.value_bytes_max, VALUE_MAX)
        self.assertEqual(status.limits.batch_bytes_max, BATCH_MAX)
        self.assertEqual(status.node.state, admin.NODE_STATE_SERVING)
        nodes = self.follower.admin.ListNodes(admin.ListNodesRequest()).nodes
        self.assertEqual(sorted(node.address for node in nodes),
                         sorted(node.address for node in self.harness.nodes))

    def test_reflection_describes_the_services(self):
        stub = reflection_grpc.ServerReflectionStub(self.follower.channel)
        answers = list(stub.ServerReflectionInfo(iter([
            reflection.ServerReflectionRequest(list_services=""),
            reflection.ServerReflectionRequest(file_containing_symbol="flotilla.v1.KV")])))
        names = {service.name for service in answers[0].list_services_response.service}
        self.assertLessEqual({"flotilla.v1.KV", "flotilla.v1.Transactions", "flotilla.v1.Cluster",
                              "grpc.health.v1.Health"}, names)
        files = [descriptor_pb2.FileDescriptorProto.FromString(one)
                 for one in answers[1].file_descriptor_response.file_descriptor_proto]
        methods = {method.name for file in files for service in file.service
                   for method in service.method}
        self.assertLessEqual({"Get", "Put", "Pipeline"}, methods)

    def test_health_says_serving(self):
        for peer in self.peers:
            stub = health_grpc.HealthStub(peer.channel)
            wait_for("the node to say so", lambda: stub.Check(
                health.HealthCheckRequest()).status == health.HealthCheckResponse.SERVING)

    def test_a_deadline_that_has_passed_ends_the_call(self):
        start = time.monotonic()
        with self.assertRaises(grpc.RpcError) as caught:
            self.kv.Put(kv.PutRequest(key=b"late", value=bytes(VALUE_MAX)), timeout=0.001)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - start, 2)


class Shards(Base):
    def job_ends(self, job):
        """Follows the job to its end."""
        for message in self.follower.directory.WatchJobs(
                directory.WatchJobsRequest(job_id=job), timeout=30):
            for one in message.jobs:
                if one.state == directory.JOB_STATE_DONE:
                    return one
                self.assertIn(one.state, (directory.JOB_STATE_RUNNING,), one)
        return self.fail("the stream ended before the job")

    def test_keyspaces_of_many_shards_are_one_store(self):
        asked = self.follower.directory
        asked.CreateKeyspace(directory.CreateKeyspaceRequest(
            name="many", partitioning=directory.PARTITIONING_HASH, shards=6))
        asked.CreateKeyspace(directory.CreateKeyspaceRequest(
            name="ordered", partitioning=directory.PARTITIONING_RANGE, split_keys=[b"k05"]))
        self.refused("KEYSPACE_EXISTS", asked.CreateKeyspace,
                     directory.CreateKeyspaceRequest(name="many"),
                     code=grpc.StatusCode.ALREADY_EXISTS)
        keys = [b"k%02d" % number for number in range(10)]
        for name in ("many", "ordered"):
            header = kv.RequestHeader(keyspace=name)
            for number, key in enumerate(keys):
                # Any node serves, also one that has not heard of the keyspace yet.
                self.peers[number % 3].kv.Put(kv.PutRequest(header=header, key=key, value=b"v" + key))
            for peer in self.peers:
                found = peer.kv.BatchGet(kv.BatchGetRequest(header=header, keys=keys)).results
                self.assertEqual([one.value for one in found], [b"v" + key for key in keys])
        self.assertFalse(self.kv.Get(kv.GetRequest(key=keys[0])).found)
        batch = kv.BatchRequest(
            header=kv.RequestHeader(keyspace="ordered", client_id=77, sequence=1),
            operations=[put(keys[0]), put(keys[9])])
        first = self.kv.Batch(batch)
        again = self.peers[0].kv.Batch(batch)
        self.assertEqual(first.header.timestamp, again.header.timestamp)
        for name in ("many", "ordered"):
            rows = [row for page in self.kv.Scan(kv.ScanRequest(
                header=kv.RequestHeader(keyspace=name), page_size=3)) for row in page.rows]
            self.assertEqual([row.key for row in rows], keys)

    def test_a_shard_is_split_and_the_keyspace_dropped(self):
        asked = self.follower.directory
        asked.CreateKeyspace(directory.CreateKeyspaceRequest(name="whole"))
        header = kv.RequestHeader(keyspace="whole")
        for number in range(20):
            self.kv.Put(kv.PutRequest(header=header, key=b"%02d" % number, value=b"v"))
        shard, = asked.ListShards(directory.ListShardsRequest(keyspace="whole")).shards
        self.refused("SHARD_NOT_FOUND", asked.SplitShard,
                     directory.SplitShardRequest(group_id=10_000))
        job = asked.SplitShard(directory.SplitShardRequest(
            group_id=shard.group_id, key=b"10")).job_id
        self.job_ends(job)
        shards = asked.ListShards(directory.ListShardsRequest(keyspace="whole")).shards
        self.assertEqual(len(shards), 2)
        served = {self.kv.Get(kv.GetRequest(header=header, key=b"%02d" % number)).header.group_id
                  for number in range(20)}
        self.assertEqual(served, {one.group_id for one in shards})
        self.refused("JOB_NOT_FOUND", asked.CancelJob, directory.CancelJobRequest(job_id=10_000))
        asked.DropKeyspace(directory.DropKeyspaceRequest(name="whole"))
        self.refused("KEYSPACE_NOT_FOUND", self.kv.Get, kv.GetRequest(header=header, key=b"10"))

    def test_timestamps_only_grow(self):
        last = 0
        for peer in self.peers * 3:
            now = peer.directory.GetTimestamp(directory.GetTimestampRequest()).timestamp
            self.assertGreater(now, last)
            last = now


class Limits(Base):
    """At the edges of what the store takes, asked of a follower, which forwards."""

    def test_the_largest_key_works_and_one_byte_more_does_not(self):
        key = b"k" * KEY_MAX
        for peer in self.peers:
            peer.kv.Put(kv.PutRequest(key=key, value=b"v"))
            self.assertEqual(peer.kv.Get(kv.GetRequest(key=key)).value, b"v")
            self.refused("KEY_TOO_LARGE", peer.kv.Put, kv.PutRequest(key=key + b"k"),
                         code=grpc.StatusCode.INVALID_ARGUMENT)
            self.refused("KEY_TOO_LARGE", peer.kv.Get, kv.GetRequest(key=key + b"k"))

    def test_the_largest_value_works_and_one_byte_more_does_not(self):
        value = os.urandom(VALUE_MAX)
        for peer in self.peers:
            peer.kv.Put(kv.PutRequest(key=b"large", value=value))
            self.assertEqual(peer.kv.Get(kv.GetRequest(key=b"large")).value, value)
            self.refused("VALUE_TOO_LARGE", peer.kv.Put,
                         kv.PutRequest(key=b"large", value=value + b"v"),
                         code=grpc.StatusCode.INVALID_ARGUMENT)
        rows = [row for page in self.kv.Scan(kv.ScanRequest(prefix=b"large")) for row in page.rows]
        self.assertEqual(rows[0].value, value)

    def test_many_large_values_through_a_follower(self):
        value = os.urandom(VALUE_MAX)
        self.kv.Put(kv.PutRequest(key=b"large", value=value))
        # Together more than one message between nodes may carry.
        answers = self.pipeline(
            [kv.Request(id=i, get=kv.GetRequest(key=b"large")) for i in range(1, 15)], timeout=60)
        for i in range(1, 15):
            self.assertEqual(answers[i].get.value, value)
        answers = self.pipeline([kv.Request(id=i, put=kv.PutRequest(key=b"large/%d" % i, value=value))
                                 for i in range(1, 8)], timeout=60)
        for i in range(1, 8):
            self.assertGreater(answers[i].put.version, 0)

    def largest_batch(self):
        # Eight values of the largest size less their keys, to the byte.
        return [put(b"%d" % i, bytes(VALUE_MAX - 1)) for i in range(8)]

    def test_the_largest_batch_works_and_one_byte_more_does_not(self):
        operations = self.largest_batch()
        request = kv.BatchRequest(operations=operations)
        for peer in (self.leader, self.follower):
            self.assertGreater(peer.kv.Batch(request, timeout=30).version, 0)
        operations[0].put.key += b"k"
        self.refused("BATCH_TOO_LARGE", self.kv.Batch, kv.BatchRequest(operations=operations),
                     code=grpc.StatusCode.INVALID_ARGUMENT)
        many = kv.BatchRequest(operations=[put(b"k", b"")] * 100_001)
        self.refused("BATCH_TOO_LARGE", self.kv.Batch, many)

    def test_values_that_no_answer_can_carry_are_refused_and_the_cluster_stays_whole(self):
        for i in range(11):
            self.kv.Put(kv.PutRequest(key=b"many/%d" % i, value=bytes(VALUE_MAX)), timeout=30)
        keys = [b"many/%d" % i for i in range(11)]
        for peer in (self.leader, self.follower):
            fits = peer.kv.BatchGet(kv.BatchGetRequest(keys=keys[:8]), timeout=30)
            self.assertEqual([len(result.value) for result in fits.results], [VALUE_MAX] * 8)
            self.refused("BATCH_TOO_LARGE", peer.kv.BatchGet,
                         kv.BatchGetRequest(keys=keys[:9]), timeout=30)
        # One by one they come.
        answers = self.pipeline([kv.Request(id=i + 1, get=kv.GetRequest(key=key))
                                 for i, key in enumerate(keys)], timeout=60)
        self.assertEqual([len(answers[i + 1].get.value) for i in range(11)], [VALUE_MAX] * 11)


class Transact:
    """A stream of transactions, as a simple client has it."""

    def __init__(self, peer):
        self.outgoing = queue.Queue()
        self.call = peer.transactions.Transact(iter(self.outgoing.get, None), timeout=60)
        self.answers = {}
        self.last = 0

    def send(self, transaction=0, **request):
        """One request; gives its id."""
        return self.send_all([dict(transaction=transaction, **request)])[0]

    def send_all(self, requests):
        """Together in one message."""
        message = txns.TransactRequest()
        for request in requests:
            self.last += 1
            message.requests.append(txns.TxnRequest(id=self.last, **request))
        self.outgoing.put(message)
        return list(range(self.last - len(requests) + 1, self.last + 1))

    def wait(self, number):
        while number not in self.answers:
            for answer in next(self.call).responses:
                assert answer.id not in self.answers
                self.answers[answer.id] = answer
        return self.answers[number]

    def ask(self, transaction=0, **request):
        return self.wait(self.send(transaction, **request))

    def close(self):
        self.outgoing.put(None)


BEGIN = dict(begin=txns.TxnBegin())
COMMIT = dict(commit=txns.TxnCommit())


class Transactions(Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peers[0].directory.CreateKeyspace(directory.CreateKeyspaceRequest(
            name="wide", partitioning=directory.PARTITIONING_HASH, shards=4))

    def setUp(self):
        super().setUp()
        self.stream = Transact(self.follower)
        self.addCleanup(self.stream.call.cancel)

    def reason(self, answer):
        self.assertTrue(answer.HasField("error"), answer)
        return info_in(answer.error).reason

    def get(self, key, keyspace=""):
        return self.kv.Get(kv.GetRequest(key=key, header=kv.RequestHeader(keyspace=keyspace))).value

    def test_a_transaction_step_by_step(self):
        ask = self.stream.ask
        begun = ask(begin=txns.TxnBegin(keyspace="wide")).begun
        self.assertGreater(begun.transaction_id, 0)
        for i in range(20):
            self.assertTrue(ask(put=txns.TxnPut(key=b"step/%02d" % i, value=b"1")).HasField("done"))
        ask(set_savepoint=txns.TxnSetSavepoint(name="s"))
        ask(delete=txns.TxnDelete(key=b"step/05"))
        got = ask(batch_get=txns.TxnBatchGet(keys=[b"step/04", b"step/05"])).batch_get.results
        self.assertEqual([one.found for one in got], [True, False])
        self.assertEqual(got[0].version, 0)
        ask(roll_back_to=txns.TxnRollBackTo(name="s"))
        page = ask(scan=txns.TxnScan(prefix=b"step/", limit=15)).scan
        self.assertEqual(len(page.rows), 15)
        rest = ask(scan=txns.TxnScan(prefix=b"step/", limit=15,
                                     continuation_token=page.continuation_token)).scan
        self.assertEqual([row.key for row in rest.rows], [b"step/%02d" % i for i in range(15, 20)])
        self.assertEqual(self.get(b"step/05", "wide"), b"", "nobody sees it yet")
        committed = ask(**COMMIT).committed.timestamp
        self.assertGreater(committed, begun.read_timestamp)
        answer = self.kv.Get(kv.GetRequest(key=b"step/05",
                                           header=kv.RequestHeader(keyspace="wide")))
        self.assertEqual((answer.value, answer.version), (b"1", committed))
        self.assertEqual(self.reason(ask(get=txns.TxnGet(key=b"k"))), "TXN_NOT_FOUND")

    def test_one_message_holds_many_transactions(self):
        requests = []
        for number in range(1, 51):
            key = b"many/%02d" % number
            requests += [dict(transaction=number, **one) for one in (
                BEGIN, dict(get=txns.TxnGet(key=key)), dict(put=txns.TxnPut(key=key, value=b"v")),
                dict(put=txns.TxnPut(key=key, value=b"w", keyspace="wide")), COMMIT)]
        ids = self.stream.send_all(requests)
        for number in ids[4::5]:
            self.assertTrue(self.stream.wait(number).HasField("committed"),
                            self.stream.wait(number))
        self.assertEqual(self.get(b"many/33"), b"v")
        self.assertEqual(self.get(b"many/33", "wide"), b"w")

    def test_of_two_that_meet_one_is_refused(self):
        ask = self.stream.ask
        for number in (1, 2):
            ask(number, **BEGIN)
            ask(number, get=txns.TxnGet(key=b"meet"))
            ask(number, put=txns.TxnPut(key=b"meet", value=b"%d" % number))
        self.assertTrue(ask(1, **COMMIT).HasField("committed"))
        refused = ask(2, **COMMIT)
        self.assertEqual(self.reason(refused), "TXN_CONFLICT")
        self.assertEqual(info_in(refused.error).metadata["retry"], "RESTART_TXN")
        self.assertEqual(refused.error.code, grpc.StatusCode.ABORTED.value[0])
        self.assertEqual(self.get(b"meet"), b"1")

    def test_a_read_only_one_sees_one_moment(self):
        self.kv.Put(kv.PutRequest(key=b"moment", value=b"old"))
        then = self.stream.ask(1, begin=txns.TxnBegin(read_only=True)).begun.read_timestamp
        self.kv.Put(kv.PutRequest(key=b"moment", value=b"new"))
        past = txns.TxnBegin(read_only=True, read_timestamp=then)
        self.stream.ask(2, begin=past)
        for number in (1, 2):
            got = self.stream.ask(number, get=txns.TxnGet(key=b"moment")).get
            self.assertEqual(got.value, b"old")
            wrong = self.stream.ask(number, put=txns.TxnPut(key=b"moment"))
            self.assertEqual(self.reason(wrong), "BAD_REQUEST")
            self.assertEqual(self.reason(self.stream.ask(number, **COMMIT)), "BAD_REQUEST")

    def test_one_that_takes_too_long_is_rolled_back(self):
        begin = txns.TxnBegin()
        begin.timeout.FromMilliseconds(200)
        self.stream.ask(begin=begin)
        self.stream.ask(put=txns.TxnPut(key=b"late", value=b"v"))
        wait_for("its end", lambda: not self.follower.transactions.List(
            txns.ListTransactionsRequest()).transactions)
        self.assertEqual(self.reason(self.stream.ask(**COMMIT)), "TXN_ABORTED")
        self.assertEqual(self.get(b"late"), b"")

    def test_a_broken_stream_rolls_back(self):
        other = Transact(self.follower)
        number = other.ask(**BEGIN).begun.transaction_id
        other.ask(put=txns.TxnPut(key=b"broken", value=b"v"))
        listed = lambda: [one.transaction_id for one in self.follower.transactions.List(
            txns.ListTransactionsRequest()).transactions]
        self.assertIn(number, listed())
        other.call.cancel()
        wait_for("the rollback", lambda: number not in listed())
        self.refused("TXN_NOT_FOUND", self.follower.transactions.Abort,
                     txns.AbortTransactionRequest(transaction_id=number),
                     code=grpc.StatusCode.NOT_FOUND)
        # Closed in order: what was asked for is done before the end.
        last = Transact(self.follower)
        done = last.send_all([BEGIN, dict(put=txns.TxnPut(key=b"closed", value=b"v")), COMMIT])
        last.close()
        self.assertTrue(last.wait(done[-1]).HasField("committed"))
        self.assertEqual(list(last.call), [])

    def test_one_shot_compares_and_then_writes(self):
        execute = self.follower.transactions.Execute
        put = lambda value: txns.ExecuteOperation(put=txns.TxnPut(key=b"shot", value=value))
        get = txns.ExecuteOperation(get=txns.TxnGet(key=b"shot"))
        request = txns.ExecuteRequest(
            keyspace="wide",
            compare=[txns.Comparison(key=b"shot", condition=kv.Condition(absent=True)),
                     txns.Comparison(key=b"other", keyspace="default",
                                     condition=kv.Condition(absent=True))],
            success=[put(b"1"), get], failure=[get, put(b"2")])
        first = execute(request)
        self.assertEqual((first.succeeded, first.results[0].value), (True, b"1"))
        second = execute(request)
        self.assertEqual((second.succeeded, second.results[0].value), (False, b"1"))
        self.assertEqual(second.results[0].version, first.timestamp)
        self.assertEqual(self.get(b"shot", "wide"), b"2")
        self.refused("KEYSPACE_NOT_FOUND", execute, txns.ExecuteRequest(keyspace="none"))
        self.refused("BAD_REQUEST", execute, txns.ExecuteRequest(
            success=[txns.ExecuteOperation()]), code=grpc.StatusCode.INVALID_ARGUMENT)

    def test_one_shots_at_once_count_right(self):
        def add(_):
            while True:
                now = self.kv.Get(kv.GetRequest(key=b"count"))
                condition = kv.Condition(value=now.value) if now.found else kv.Condition(absent=True)
                put = txns.TxnPut(key=b"count", value=b"%d" % (int(now.value or b"0") + 1))
                answer = self.follower.transactions.Execute(txns.ExecuteRequest(
                    compare=[txns.Comparison(key=b"count", condition=condition)],
                    success=[txns.ExecuteOperation(put=put)]), timeout=30)
                if answer.succeeded:
                    return

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(40)))
        self.assertEqual(self.get(b"count"), b"40")


class Majorities(Base):
    """What a node says that has lost the others. They are back after each test."""

    @classmethod
    def setUpClass(cls):
        os.environ["FLOTILLA_REQUEST_TIMEOUT"] = "2s"
        cls.addClassCleanup(os.environ.pop, "FLOTILLA_REQUEST_TIMEOUT")
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.lone = self.harness.nodes[0]
        self.peer = self.peers[0]
        for node in self.harness.nodes[1:]:
            node.process.send_signal(signal.SIGSTOP)
        wait_for("the node to miss the others", lambda: not self.lone.ready())

    def tearDown(self):
        for node in self.harness.nodes[1:]:
            node.process.send_signal(signal.SIGCONT)
        for node in self.harness.nodes:
            wait_for("the node to be back", node.ready)

    def test_without_a_majority_the_reason_says_so(self):
        _, metadata = self.refused("NO_QUORUM", self.peer.kv.Get, kv.GetRequest(key=b"k"),
                                   code=grpc.StatusCode.UNAVAILABLE, timeout=20)
        self.assertEqual(metadata["retry"], "SAFE")
        # Not a key that others here write to: what they gave up may have happened.
        got = self.peer.kv.Get(
            kv.GetRequest(key=b"absent", consistency=kv.CONSISTENCY_EVENTUAL), timeout=20)
        self.assertFalse(got.found)

    def test_a_deadline_is_honoured(self):
        start = time.monotonic()
        with self.assertRaises(grpc.RpcError) as caught:
            self.peer.kv.Get(kv.GetRequest(key=b"k"), timeout=0.3)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - start, 1.5)

    def test_a_timeout_inside_a_pipeline_is_honoured(self):
        self.kv = self.peer.kv
        start = time.monotonic()
        answers = self.pipeline([
            kv.Request(id=1, timeout_ms=200, get=kv.GetRequest(key=b"k")),
            kv.Request(id=2, timeout_ms=200, put=kv.PutRequest(key=b"k"))], timeout=20)
        self.assertLess(time.monotonic() - start, 1.5)
        self.assertEqual(info_in(answers[1].error).reason, "DEADLINE_EXCEEDED")
        self.assertIn(info_in(answers[2].error).reason, ("DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"))

    def test_health_says_not_serving(self):
        stub = health_grpc.HealthStub(self.peer.channel)
        wait_for("the node to say so", lambda: stub.Check(
            health.HealthCheckRequest()).status == health.HealthCheckResponse.NOT_SERVING)


class Alone(Base):
    """A cluster of one, and a node that waits for others."""

    NODES = 1

    def test_one_node_serves_alone_and_keeps_its_last_member(self):
        self.kv.Put(kv.PutRequest(key=b"k", value=b"v"))
        self.assertEqual(self.kv.Get(kv.GetRequest(key=b"k")).value, b"v")
        self.refused("MEMBERSHIP_REFUSED", self.leader.admin.RemoveReplica,
                     admin.RemoveReplicaRequest(node_id=1),
                     code=grpc.StatusCode.FAILED_PRECONDITION)

    def test_a_node_that_waits_for_others_says_that_it_is_not_ready(self):
        ports = harness.free_ports(3)
        node = harness.Node(self.harness.directory, 9, ports[:2])
        self.addCleanup(node.end)
        node.start([node.address, f"127.0.0.1:{ports[2]}"], 2)
        peer = Peer(node)
        self.addCleanup(peer.channel.close)
        self.refused("NOT_READY", peer.kv.Get, kv.GetRequest(key=b"k"),
                     code=grpc.StatusCode.UNAVAILABLE, wait_for_ready=True, timeout=20)
        status = peer.admin.Status(admin.StatusRequest())
        self.assertEqual(status.node.state, admin.NODE_STATE_FORMING)
        self.assertEqual(
            health_grpc.HealthStub(peer.channel).Check(health.HealthCheckRequest()).status,
            health.HealthCheckResponse.NOT_SERVING)


del Base  # not a test itself

if __name__ == "__main__":
    unittest.main(verbosity=2)
