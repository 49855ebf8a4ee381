"""Sums what perf sampled by stage, and draws it: perf script -F comm,ip,sym,dso on standard input.

    perf script ... | profile.py --json ROW.json --svg FLAME.svg

ROW.json is what flotilla_bench said of the same load: it gives the CPU time per operation that the
stages divide among them.
"""

import argparse
import collections
import html
import json
import re
import sys

# The first one wins that matches a thread's name, or a frame from the innermost outwards.
STAGES = [
    ("flush, compaction", "#8c6d31", r"^rocksdb:", None),
    ("wake-ups", "#969696", None, r"^(do_futex|__x64_sys_futex|epoll_wait|__schedule|schedule)$"),
    ("sync", "#d62728", None, r"SegmentWriter::Sync|DirectFile::Sync|^fdatasync$"),
    ("log", "#ff7f0e", None, r"raft::log::|^pwrite64$"),
    ("reply", "#17becf", None, r"OnAnswers|EncodeAnswer|AnswerCollector|BatchReactor<.*>::(Send|OnWriteDone)"),
    ("apply", "#2ca02c", None, r"StoreImpl::Apply|ApplyPump|kv::Evaluator|MemtableTree::Insert"),
    ("read", "#98df8a", None, r"StoreImpl::(BatchGet|Scan)|ReadAnswers|Replica::ReadLocal"),
    ("replication", "#9467bd", None, r"raft::(Sender|GrpcTransport|PeerLink|Core|Group|DecodeBatch|EncodeBatch)|internal::PeerBatch"),
    ("routing", "#1f77b4", None, r"Pipeline(Session|Reactor)|RequestRouter|flotilla::Replica::|KvService"),
    ("gRPC, TCP", "#e377c2", r"^(nexting_thread|default-executo|grpc)", r"^grpc|tcp_|\[dso:libgrpc"),
    ("other", "#c7c7c7", r"", None),
]


def stage_of(comm, frames):
    """`frames`: the innermost first."""
    for name, _, thread, frame in STAGES:
        if thread is not None and re.search(thread, comm):
            return name
        if frame is not None and any(re.search(frame, one) for one in frames):
            return name
    return "other"


def samples(lines):
    """Yields (comm, frames)."""
    comm, frames = None, []
    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            if comm is not None:
                yield comm, frames
            comm, frames = None, []
        elif comm is None:
            comm = line.strip()
        else:
            match = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line)
            if match is None:
                continue
            symbol = re.sub(r"\(.*|\+0x[0-9a-f]+$", "", match.group(1)).strip()
            if symbol == "[unknown]":
                symbol = "[dso:%s]" % match.group(2).split("/")[-1]
            frames.append(symbol)
    if comm is not None:
        yield comm, frames


class Flame:
    """Stacks, as a tree of widths; each box in the colour of its stage."""

    WIDTH, ROW, NARROWEST = 1600, 16, 0.4

    def __init__(self):
        self.root = {"count": 0, "children": {}}
        self.depth = 0

    def add(self, stage, comm, frames):
        node = self.root
        node["count"] += 1
        path = [(stage, stage), (comm, stage)]
        path += [(frame, stage) for frame in reversed(frames)]
        for name, colour in path[:80]:
            node = node["children"].setdefault(name, {"count": 0, "children": {}, "stage": colour})
            node["count"] += 1
        self.depth = max(self.depth, min(len(path), 80))

    def svg(self, title):
        colours = {name: colour for name, colour, _, _ in STAGES}
        height = (self.depth + 3) * self.ROW
        out = [
            '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
            'font-family="monospace" font-size="11">' % (self.WIDTH, height),
            '<text x="4" y="14">%s</text>' % html.escape(title),
        ]
        scale = self.WIDTH / max(self.root["count"], 1)

        def draw(node, left, level):
            for name, child in sorted(node["children"].items()):
                width = child["count"] * scale
                if width >= self.NARROWEST:
                    top = height - (level + 1) * self.ROW
                    share = 100 * child["count"] / self.root["count"]
                    label = html.escape(name)
                    shown = html.escape(name[: int(width / 7)]) if width > 28 else ""
                    out.append(
                        '<g><title>%s: %.2f %%</title><rect x="%.1f" y="%d" width="%.1f" '
                        'height="%d" fill="%s" stroke="white" stroke-width="0.5"/>'
                        '<text x="%.1f" y="%d">%s</text></g>'
                        % (label, share, left, top, width, self.ROW, colours[child["stage"]],
                           left + 2, top + 12, shown))
                    draw(child, left, level + 1)
                left += width

        draw(self.root, 0.0, 0)
        return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", required=True)
    parser.add_argument("--svg", required=True)
    arguments = parser.parse_args()
    with open(arguments.json, encoding="utf-8") as file:
        row = json.loads(file.readline())

    stages = collections.Counter()
    flame = Flame()
    for comm, frames in samples(sys.stdin):
        stage = stage_of(comm, frames)
        stages[stage] += 1
        flame.add(stage, comm, frames)
    total = sum(stages.values())
    if total == 0:
        sys.exit("error: perf has no samples")
    cpu = row["server_cpu_us_per_op"]
    title = "%s, %s outstanding, %s: %d ops/s, %.1f us of server CPU per operation" % (
        row["op"], row["outstanding"], row["api"], row["ops_per_s"], cpu)
    print(title)
    for name, _, _, _ in STAGES:
        if stages[name]:
            share = stages[name] / total
            print("  %-18s %5.1f %%  %7.2f us" % (name, 100 * share, share * cpu))
    with open(arguments.svg, "w", encoding="utf-8") as file:
        file.write(flame.svg(title))
    print("  flame graph: %s\n" % arguments.svg)


if __name__ == "__main__":
    main()
