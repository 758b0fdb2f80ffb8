"""All faults, with what must come of each (docs/reliability.md)."""

from . import live
from .live import FLUSHES, WRITES, follower, leader
from .stage import Expected


class Fault:
    """A fault by its name. `act` installs it on a stage and lifts it again."""

    def __init__(self, name, what, act, expected, quick=False, prepare=None, needs=()):
        self.name, self.what, self.act, self.expected = name, what, act, expected
        self.quick, self.prepare, self.needs = quick, prepare, needs


NO_ROOM = Expected(serving="all", notice="(?i)room|space", refusal=None)
ALL_NO_ROOM = Expected(serving="all", writes=False, notice="(?i)room|space", refusal="(?i)room|space")

LIVE = [
    Fault("pause-leader-1s", "the process of the leader pauses for 1 s",
          lambda stage: live.pause(stage, leader(stage), 1), Expected(), quick=True),
    Fault("pause-leader-10s", "the process of the leader pauses for 10 s",
          lambda stage: live.pause(stage, leader(stage), 10), Expected(), quick=True),
    Fault("pause-follower-10s", "the process of a follower pauses for 10 s",
          lambda stage: live.pause(stage, follower(stage), 10), Expected()),
    Fault("full-follower", "the disk of a follower is full, then empty again",
          lambda stage: live.disk_full(stage, [follower(stage)]), NO_ROOM, prepare=live.on_small_disks, needs=("root",)),
    Fault("full-leader", "the disk of the leader is full, then empty again",
          lambda stage: live.disk_full(stage, [leader(stage)]), NO_ROOM, prepare=live.on_small_disks, needs=("root",)),
    Fault("full-all", "the disks of all nodes are full, then empty again",
          lambda stage: live.disk_full(stage, stage.cluster.nodes), ALL_NO_ROOM,
          prepare=live.on_small_disks, needs=("root",)),
    Fault("full-follower-restart", "a follower starts again while its disk is full",
          lambda stage: live.disk_full(stage, [follower(stage)], restart=True),
          Expected(notice="(?i)room|space"), prepare=live.on_small_disks, needs=("root",)),
    Fault("full-all-restart", "all nodes start again while their disks are full",
          lambda stage: live.disk_full(stage, stage.cluster.nodes, restart=True),
          Expected(serving="none", writes=False, notice="(?i)room|space", refusal="(?i)room|space"),
          prepare=live.on_small_disks, needs=("root",)),
]

ALL = LIVE
