"""Damage at rest: each kind of file, damaged in each way, with the other nodes up or one of them away."""

import shutil

from .fault import Expected, Fault, Row
from .tools import Stopped, wait_until

SECTOR = 512
# After this time sled has the cluster's first command (cluster.SETTINGS).
CHECKPOINT_S = 2
# The last blocks of the log hold what the node has not applied yet. The middle of another file is as good as any part.
NEAR_END = 4


class Kind:
    """A kind of file in the data folder."""

    def __init__(self, name, what, pattern, near_end=False, also_lost=None):
        self.name, self.what, self.pattern, self.near_end = name, what, pattern, near_end
        self.also_lost = also_lost  # a folder of the data folder that is lost, too

    def find(self, node):
        """The newest file of this kind, or None."""
        return max(node.data.glob(self.pattern), default=None)


LOG = Kind("log", "the log", "log/r-*.wal", near_end=True)
RECORD = Kind("record", "node.record", "node.record")
CLUSTER_ID = Kind("cluster-id", "cluster.id", "cluster.id")
PEER_KEY = Kind("peer-key", "peer.key", "peer.key")
DERIVED = [
    Kind("sled", "the data of sled", "keystore/sled-*/db"),
    Kind("sled-conf", "the settings of sled", "keystore/sled-*/conf"),
    Kind("current", "keystore/CURRENT", "keystore/CURRENT"),
    Kind("level", "keystore/LEVEL", "keystore/LEVEL"),
    Kind("durable", "keystore/sled-N/DURABLE", "keystore/sled-*/DURABLE"),
    Kind("snapshot", "the newest snapshot", "snapshots/*.snapshot"),
    Kind("both", "the newest snapshot", "snapshots/*.snapshot", also_lost="keystore"),
]


# Each way to damage a file.

def used_blocks(content):
    """The numbers of the blocks that have more than zeros. Files of sled and the slots of others are mostly holes."""
    blocks = range(0, (len(content) + SECTOR - 1) // SECTOR)
    return [n for n in blocks if any(content[n * SECTOR : (n + 1) * SECTOR])] or [0]


def place(content, kind):
    """Begin and end of a block to damage."""
    blocks = used_blocks(content)
    block = blocks[-min(NEAR_END, len(blocks))] if kind.near_end else blocks[len(blocks) // 2]
    return SECTOR * block, min(SECTOR * (block + 1), len(content))


def flip_bit(path, kind):
    content = bytearray(path.read_bytes())
    at = sum(place(content, kind)) // 2
    content[at] ^= 1
    path.write_bytes(content)
    return f"bit 0 of byte {at} of {len(content)} is flipped"


def zero_sector(path, kind):
    content = bytearray(path.read_bytes())
    begin, end = place(content, kind)
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    return f"bytes {begin} to {end - 1} of {len(content)} are zeros"


def lose_tail(path, kind):
    """Half of what is in use is lost."""
    content = path.read_bytes()
    blocks = used_blocks(content)
    at = SECTOR * blocks[len(blocks) // 2] or len(content) // 2
    with path.open("r+b") as file:
        file.truncate(at)
    return f"the file ends after {at} of {len(content)} bytes"


def lose_all(path, kind):
    length = path.stat().st_size
    path.unlink()
    return f"the file of {length} bytes is gone"


DAMAGES = {"bit": flip_bit, "sector": zero_sector, "tail": lose_tail, "lost": lose_all}
SAYS = {"bit": "one bit of {} is flipped", "sector": "512 bytes of {} are zeros", "tail": "half of {} is lost", "lost": "{} is lost"}

# Who is there when the damaged node starts.
BOTH, AWAY, BEHIND = "", "-away", "-behind"
MODES = {
    BOTH: "",
    AWAY: ", while another node is away",
    BEHIND: ", while the only node that has all of its writes is away",
}


def act(stage, kind, damage, mode):
    """Damages a file of a follower at rest and starts it, with both other nodes or with one of them."""
    damaged, late = stage.cluster.followers()
    leader = next(node for node in stage.cluster.nodes if node not in (damaged, late))
    if wait_until(lambda: kind.find(damaged), 60) is None:
        raise Stopped(f"{damaged.name} has no file {kind.pattern}")
    stage.hold(CHECKPOINT_S)
    stage.begin([damaged])
    stage.damages = True
    if mode:
        late.stop()
        stage.hold(3)  # The damaged node and the leader acknowledge writes that the third one does not have.
    damaged.kill()
    path = kind.find(damaged)
    stage.prove(f"{path.relative_to(damaged.data)} of {damaged.name}: {DAMAGES[damage](path, kind)}")
    if kind.also_lost:
        shutil.rmtree(damaged.data / kind.also_lost)
        stage.proof += f"; {kind.also_lost} is gone"
    if mode == BEHIND:
        leader.kill()
        late.start()
    damaged.start()
    if mode:
        stage.watch_alone([damaged, late if mode == BEHIND else leader])
    stage.lift()
    if mode:
        (leader if mode == BEHIND else late).start()


def fault(kind, damage, mode, expected, quick=()):
    name = f"{damage}-{kind.name}{mode}"
    what = SAYS[damage].format(kind.what) + (f", and the {kind.also_lost} is gone" if kind.also_lost else "") + MODES[mode]
    return Fault(name, what, lambda stage: act(stage, kind, damage, mode), expected(mode), name in quick)


def faults(kinds, damages, modes, expected, quick=()):
    return [fault(kind, damage, mode, expected, quick) for kind in kinds for damage in damages for mode in modes]


# What must come of each.

def comes_back(mode):
    """The node comes back, also with one other node only."""
    return Expected() if mode == BOTH else Expected(serving="none", writes=False)


def in_doubt(mode):
    """The node comes back once a quorum of others stands for the writes that it may have lost."""
    return Expected() if mode == BOTH else Expected(serving="none", writes=False, alone=IN_DOUBT)


def stays_out(mode):
    """Only a later version can replace the node. It says so, and the others go on."""
    refusal = "(?i)delete nothing|keep the data folder|replace|put .*back"
    if mode == BOTH:
        return Expected(stays_out=refusal)
    return Expected(serving="none", writes=False, stays_out=refusal, alone=WAITS)


def may_stay_out(mode):
    """The node comes back, or says why it cannot."""
    expected = in_doubt(mode)
    expected.alone = expected.alone and WAITS
    expected.may_stay_out = "(?i)delete nothing|keep the data folder|replace"
    return expected


IN_DOUBT = "neither votes nor leads"
WAITS = r"votes of \d of the \d nodes are needed"
ALL_DAMAGES, ALL_MODES = list(DAMAGES), [BOTH, AWAY]
QUICK = {"tail-log-behind", "bit-sled", "lost-both-away", "bit-record-behind", "lost-peer-key"}

ROWS = [
    Row("damage at rest in the keystore or in a snapshot",
        "sets the damaged file aside, and makes it again from its log and what else it has, or from a peer's snapshot",
        "Nothing is lost. The node serves again by itself.",
        "Replace the disk if it happens again.",
        faults(DERIVED, ALL_DAMAGES, ALL_MODES, comes_back, QUICK)),
    Row("damage at rest in `cluster.id`",
        "uses the other half of the file, or makes it again from its keystore",
        "Nothing is lost. The node serves again by itself. If a new cluster crashes before its first checkpoint (`checkpoint_every`), and this file is lost, too, the node stays out and says so.",
        "Replace the disk if it happens again.",
        faults([CLUSTER_ID], ALL_DAMAGES, ALL_MODES, comes_back)),
    Row("one of the two slots of `node.record` is damaged",
        "uses the other slot",
        "Nothing is lost. The node serves again by itself.",
        "Replace the disk if it happens again.",
        faults([RECORD], ["bit", "sector", "tail"], [BOTH, AWAY, BEHIND], comes_back, QUICK)),
    Row("the log is damaged or lost",
        "comes back in doubt: it does not vote until it has again all that a leader had",
        "Nothing is lost. The node serves again by itself, once the other nodes have a quorum.",
        "Start the other nodes, if they are down.",
        faults([LOG], ALL_DAMAGES, [BOTH, AWAY, BEHIND], in_doubt, QUICK)),
    Row("`node.record` is lost",
        "does not vote: it no longer knows whom it voted for",
        "Nothing is lost. The node comes back, or says what to do. The other nodes serve.",
        "Do what the node's last line says.",
        faults([RECORD], ["lost"], [BOTH, AWAY, BEHIND], may_stay_out),
        not_yet="the node does not start, changes nothing, and says why."),
    Row("`peer.key` is damaged or lost",
        "ends, and says which file is missing: the other nodes know it by that key",
        "Nothing is lost. The other nodes serve. The node stays out.",
        "Put the very same file back if you have a copy. This version cannot replace a node.",
        faults([PEER_KEY], ALL_DAMAGES, ALL_MODES, stays_out, QUICK)),
]
