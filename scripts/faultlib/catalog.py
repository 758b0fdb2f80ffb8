"""All faults, with what must come of each, in the order of docs/reliability.md."""

import resource

from . import calls, disks, net, process, rest
from .calls import FLUSHES, WRITES
from .fault import Expected, Fault, Row

NO_ROOM = Expected(serving="all", notice="(?i)room|space")
ALL_NO_ROOM = Expected(serving="all", writes=False, notice="(?i)room|space", refusal="(?i)room|space")
NONE_STARTS = Expected(serving="none", writes=False, notice="(?i)room|space", refusal="(?i)room|space")


def leader(stage):
    stage.cluster.await_leader()
    return stage.cluster.leader()


def follower(stage):
    return stage.cluster.followers()[0]


def all_of(stage):
    return stage.cluster.nodes


# Each file that a running node writes to.

def log_chunk(node):
    return max((node.data / "log").glob("r-*.wal"))


def sled_log(node):
    return next(node.data.glob("keystore/sled-*/db"))


def in_data(name):
    return lambda node: node.data / name


WRITTEN = {"log": log_chunk, "record": in_data("node.record"), "sled": sled_log}
READ = WRITTEN | {"cluster-id": in_data("cluster.id"), "peer-key": in_data("peer.key")}


def paused(who, which, seconds, quick=False):
    expected = Expected(serving="none", writes=False) if who == "all" else Expected()
    what = "all nodes pause" if who == "all" else f"the process of the {who} pauses"
    return Fault(f"pause-{who}-{seconds}s", f"{what} for {seconds} s",
                 lambda stage: process.pause(stage, which(stage), seconds), expected, quick)


def slow_flushes(who, which, ms, quick=False):
    """A flush that takes long, at some nodes."""
    # A follower that cannot apply a revocation in time closes its listener until it has.
    expected = Expected(serving="others" if (who, ms) == ("follower", 5000) else "all")
    inject = f"delay_exit={ms * 1000}"
    what = f"each flush of {'all nodes' if who == 'all' else 'the ' + who} takes {ms} ms longer"
    return Fault(f"{'slow' if ms < 1000 else 'stalled'}-flush-{who}", what,
                 lambda stage: calls.while_running(stage, which(stage), FLUSHES, inject, 15), expected, quick, needs=("strace",))


def failing(kind, operation, syscalls, who, which, expected, quick=False):
    """Writes or flushes of one file that fail at a running node."""
    paths = lambda node: [WRITTEN[kind](node)]
    return Fault(f"failing-{operation}-{kind}-{who}", f"each {operation} of the {kind} fails at the {who} (EIO)",
                 lambda stage: calls.while_running(stage, which(stage), syscalls, "error=EIO", 8, paths),
                 expected, quick, needs=("strace",))


def one(which):
    return lambda stage: [which(stage)]


def failing_faults(kinds, expected, quick=()):
    found = []
    for kind in kinds:
        for operation, syscalls in (("write", WRITES), ("flush", FLUSHES)):
            for who, which in (("leader", leader), ("follower", follower)):
                quick_one = (kind, operation, who) in quick
                found.append(failing(kind, operation, syscalls, who, one(which), expected, quick_one))
    return found


def unreadable(kind):
    return Fault(f"failing-read-{kind}", f"reads of the {kind} fail when a node starts (EIO)",
                 lambda stage: calls.read_error_at_start(stage, READ[kind]),
                 Expected(notice="(?i)input/output|os error 5|I/O"), kind == "log", needs=("strace",))


def full(name, what, which, expected, restart=False, quick=False):
    return Fault(name, what, lambda stage: disks.full(stage, which(stage), restart), expected, quick,
                 prepare=disks.on_small_disks, needs=("root",))


def read_only(name, what, which, expected):
    return Fault(name, what, lambda stage: disks.read_only(stage, which(stage)), expected,
                 prepare=disks.on_ext4, needs=("root", "ext4"))


def limited(name, what, which, kind, value, at_start=False, expected=None, quick=False):
    change = process.limited_start if at_start else process.limit
    return Fault(name, what, lambda stage: change(stage, which(stage), kind, value, 10), expected or Expected(), quick)


DESCRIPTORS, MEMORY = resource.RLIMIT_NOFILE, resource.RLIMIT_DATA

RUNNING = [
    Row("a node pauses or is killed",
        "the others elect a leader if it led. A node that was away longer than its lease asks for a new one before it answers",
        "The other nodes go on. The node serves again by itself.",
        "Nothing.",
        [paused("leader", one(leader), 1), paused("leader", one(leader), 10, quick=True), paused("follower", one(follower), 10),
         paused("all", all_of, 10),
         Fault("kill-leader", "the leader is killed", lambda stage: process.kill(stage, [leader(stage)]), Expected()),
         Fault("kill-all", "all nodes are killed at once", lambda stage: process.kill(stage, all_of(stage)),
               Expected(serving="none", writes=False), quick=True)]),
    Row("a disk is full",
        "says that it lacks room, goes on decrypting, and goes on writing by itself when there is room",
        "Decrypts continue at all nodes, also while all disks are full. Writes continue while a quorum has room; else they get 503 with the reason.",
        "Make room.",
        [full("full-follower", "the disk of a follower is full, then empty again", one(follower), NO_ROOM),
         full("full-leader", "the disk of the leader is full, then empty again", one(leader), NO_ROOM),
         full("full-all", "the disks of all nodes are full, then empty again", all_of, ALL_NO_ROOM, quick=True)]),
    Row("a node starts while its disk is full",
        "serves keys, and refuses what needs room",
        "Decrypts continue, also if all nodes start on full disks. Writes need a quorum with room.",
        "Make room.",
        [full("full-follower-restart", "a follower starts again while its disk is full", one(follower),
              Expected(notice="(?i)room|space"), restart=True),
         full("full-all-restart", "all nodes start again while their disks are full", all_of, NONE_STARTS, restart=True)]),
    Row("writes or flushes of the log or of `node.record` fail",
        "ends at once: after a failed write or flush it cannot know what is on the disk. Systemd starts it again",
        "Nothing is lost. The other nodes go on. The node serves again when the disk does.",
        "Replace the disk if it happens again.",
        failing_faults(["log", "record"], Expected(), quick={("log", "flush", "leader")})),
    Row("writes or flushes of the keystore fail",
        "goes on in memory, says so, and makes a new keystore when the disk works again",
        "All nodes go on. Nothing is lost.",
        "Replace the disk if it happens again.",
        failing_faults(["sled"], Expected(serving="all"))),
    Row("a snapshot cannot be written",
        "goes on, keeps its log, says so, and tries again",
        "All nodes go on. The log grows until a snapshot succeeds.",
        "Look after the disk.",
        [Fault("no-snapshots", "the folder of snapshots turns read-only at all nodes",
               lambda stage: disks.no_snapshots(stage, all_of(stage)), Expected(serving="all", notice="(?i)snapshot"),
               prepare=disks.with_snapshots_apart, needs=("root",))]),
    Row("a file cannot be read when a node starts",
        "renames and removes nothing, says which file and which error, and tries again",
        "The other nodes go on. The node serves by itself when the disk does.",
        "Look after the disk.",
        [unreadable(kind) for kind in READ]),
    Row("a disk is slow or stalls",
        "a leader whose flush takes longer than `storage.stall` (a second) hands over. A follower that cannot apply a revocation in time closes its listener until it has",
        "Decrypts and writes continue, more slowly if the disks of a quorum are slow.",
        "Look after the disk.",
        [slow_flushes("leader", one(leader), 300), slow_flushes("follower", one(follower), 300), slow_flushes("all", all_of, 300),
         slow_flushes("leader", one(leader), 5000, quick=True), slow_flushes("follower", one(follower), 5000)]),
    Row("a file system turns read-only",
        "ends or waits, says why, and tries again",
        "The other nodes go on. The node serves by itself when the file system is writable again.",
        "Check the file system, and mount it again.",
        [read_only("read-only-follower", "the file system of a follower turns read-only", one(follower), Expected(notice="(?i)read-only")),
         read_only("read-only-leader", "the file system of the leader turns read-only", one(leader), Expected(notice="(?i)read-only"))]),
    Row("no more descriptors",
        "keeps those that it has, says what it cannot open, and tries again",
        "The other nodes go on. The node serves again by itself when it gets descriptors.",
        "Raise the limit (`LimitNOFILE=` in deploy/keyraft.service).",
        [limited("no-descriptors-leader", "the leader gets no more descriptors", leader, DESCRIPTORS, 0, quick=True),
         limited("no-descriptors-follower", "a follower gets no more descriptors", follower, DESCRIPTORS, 0),
         limited("few-descriptors-start", f"a node starts with {process.FEW_DESCRIPTORS} descriptors", follower, DESCRIPTORS,
                 process.FEW_DESCRIPTORS, at_start=True)]),
    Row("no more memory",
        "ends when the system refuses it memory. Systemd starts it again. After two such ends while it opens its "
        "keystore, it goes on in memory and makes a new keystore",
        "Nothing is lost. The other nodes go on. The node serves again by itself when it gets memory.",
        "Give the node more memory.",
        [limited("no-memory-leader", "the leader gets no more memory", leader, MEMORY, process.NO_MEMORY, quick=True),
         limited("no-memory-follower", "a follower gets no more memory", follower, MEMORY, process.NO_MEMORY),
         limited("little-memory-start", f"a node starts with {process.LITTLE_MEMORY >> 20} MiB of memory", follower, MEMORY,
                 process.LITTLE_MEMORY, at_start=True)]),
]

ROWS = RUNNING + net.ROWS + rest.ROWS
ALL = [fault for row in ROWS for fault in row.faults]
