"""Cut links: each node in a network namespace of its own, and the namespace of this script as the router between them.

The script reaches all nodes all the time. A rule in the router drops what one node sends to another, silently and in one
direction, as a broken switch or a wrong firewall does. The namespaces end with the script.
"""

import pathlib
import re
import subprocess
import time

from .fault import Expected, Fault, Row
from .tools import Stopped, say

# So long a link stays cut: longer than a write may wait (stage.WRITE_GAP_S).
CUT_S = 20
FLAPS, FLAP_S = 15, 0.5
NAMESPACES = pathlib.Path("/run/netns")


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise Stopped(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def address(node):
    return f"10.77.{number(node)}.1"


def number(node):
    return int(node.name.removeprefix("node-"))


def on_own_networks(cluster):
    """Before the start: gives each node a network of its own."""
    own_folder()
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for node in cluster.nodes:
        connect(node)
    ports = {str(port): address(node) for node in cluster.nodes for port in (node.port, node.port + 100)}
    for node in cluster.nodes:
        config = node.folder / "config.yml"
        moved = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"{ports[found[1]]}:{found[1]}", config.read_text())
        config.write_text(moved)


def own_folder():
    """Where `ip netns` notes namespaces. This script has a place of its own, so that nothing of it stays behind."""
    NAMESPACES.mkdir(exist_ok=True)
    if not NAMESPACES.is_mount():
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", NAMESPACES], check=True)


def connect(node):
    """Makes the namespace of a node, and the link from it to the router."""
    name, here, router = f"kr{number(node)}", f"kr{number(node)}", address(node).removesuffix(".1") + ".254"
    if (NAMESPACES / name).exists():
        ip("netns", "del", name)
        subprocess.run(["ip", "link", "del", here], capture_output=True)
    ip("netns", "add", name)
    ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("addr", "add", f"{router}/24", "dev", here)
    ip("link", "set", here, "up")
    ip("-n", name, "addr", "add", f"{address(node)}/24", "dev", "eth0")
    for link in ("lo", "eth0"):
        ip("-n", name, "link", "set", link, "up")
    ip("-n", name, "route", "add", "default", "via", router)
    node.host, node.prefix = address(node), ["nsenter", f"--net={NAMESPACES / name}"]


class Links:
    """The links that are cut, each as a pair: from one node to another."""

    def __init__(self):
        self.cut_links = []

    def cut(self, links):
        for sender, receiver in links:
            ip("rule", "add", "from", address(sender), "to", address(receiver), "blackhole")
        self.cut_links += links

    def heal(self):
        for sender, receiver in self.cut_links:
            ip("rule", "del", "from", address(sender), "to", address(receiver), "blackhole")
        self.cut_links = []


def passes(sender, receiver):
    """Whether the router takes packets from one node to another."""
    words = ["ip", "route", "get", address(receiver), "from", address(sender), "iif", f"kr{number(sender)}"]
    return subprocess.run(words, capture_output=True).returncode == 0


def cut(stage, victims, links, seconds=CUT_S):
    stage.begin(victims)
    table = Links()
    try:
        table.cut(links)
        prove(stage, links)
        stage.hold(seconds)
        stage.lift()
    finally:
        table.heal()


def prove(stage, links):
    """Checks with the router that exactly these links are cut."""
    nodes = stage.cluster.nodes
    broken = [(a, b) for a in nodes for b in nodes if a is not b and not passes(a, b)]
    if set(broken) != set(links):
        raise Stopped(f"the router drops other packets than it has to: {[(a.name, b.name) for a, b in broken]}")
    shown = ", ".join(f"{a.name} to {b.name}" for a, b in broken)
    leader = stage.cluster.leader()
    stage.prove(f"the router drops packets from {shown}; leader at that time: {leader.name if leader else 'none'}")


def flap(stage, links):
    stage.begin([])
    table = Links()
    for _ in range(FLAPS):
        table.cut(links)
        if not stage.proof:
            prove(stage, links)
        time.sleep(FLAP_S)
        table.heal()
        time.sleep(FLAP_S)
    say(f"  {FLAPS} times")
    stage.lift()


def slow(stage, words, seconds=CUT_S):
    """Delays or drops packets on all links, if the kernel can."""
    stage.begin([])
    devices = [f"kr{number(node)}" for node in stage.cluster.nodes]
    try:
        for device in devices:
            command = ["tc", "qdisc", "add", "dev", device, "root", "netem", *words]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise Stopped(f"this kernel has no netem: {done.stderr.strip()}")
        stage.prove(subprocess.run(["tc", "qdisc", "show", "dev", devices[0]], capture_output=True, text=True).stdout.strip())
        stage.hold(seconds)
        stage.lift()
    finally:
        for device in devices:
            subprocess.run(["tc", "qdisc", "del", "dev", device, "root"], capture_output=True)


# Which links are cut.

def both(pairs):
    return [link for a, b in pairs for link in ((a, b), (b, a))]


def alone(stage):
    """The leader reaches nobody, and nobody reaches it."""
    leader = lead(stage)
    return [leader], both((leader, other) for other in stage.cluster.others(leader))


def silent(stage):
    """What the leader sends is lost."""
    leader = lead(stage)
    return [leader], [(leader, other) for other in stage.cluster.others(leader)]


def deaf(stage):
    """What others send to the leader is lost."""
    leader = lead(stage)
    return [leader], [(other, leader) for other in stage.cluster.others(leader)]


def silent_follower(stage):
    follower = stage.cluster.followers()[0]
    return [follower], [(follower, other) for other in stage.cluster.others(follower)]


def deaf_follower(stage):
    follower = stage.cluster.followers()[0]
    return [follower], [(other, follower) for other in stage.cluster.others(follower)]


def one_friend(stage):
    """The leader reaches one other node only; the others reach each other, and that one."""
    leader = lead(stage)
    return [leader], both((leader, other) for other in stage.cluster.others(leader)[1:])


def minority(stage):
    """The leader and one other node are apart from the rest."""
    leader = lead(stage)
    friend, *rest = stage.cluster.others(leader)
    return [leader, friend], both((a, b) for a in (leader, friend) for b in rest)


def hub(stage):
    """All nodes reach one follower, and no other node."""
    centre = stage.cluster.followers()[0]
    rim = stage.cluster.others(centre)
    return [], [(a, b) for a in rim for b in rim if a is not b]


def chain(stage):
    """Each node reaches its neighbours only."""
    nodes = stage.cluster.nodes
    return [], both((a, b) for i, a in enumerate(nodes) for b in nodes[i + 2 :])


def everywhere(stage):
    nodes = stage.cluster.nodes
    return nodes, [(a, b) for a in nodes for b in nodes if a is not b]


def first_link(stage):
    leader = lead(stage)
    return both([(leader, stage.cluster.followers()[0])])


def lead(stage):
    stage.cluster.await_leader()
    return stage.cluster.leader()


def cut_fault(name, nodes, what, which, expected=None, quick=False):
    return Fault(f"{name}-{nodes}", f"{what}, {nodes} nodes", lambda stage: cut(stage, *which(stage)),
                 expected or Expected(serving="all"), quick, on_own_networks, ("network",), nodes)


NO_WRITES = Expected(serving="all", writes=False, refusal="(?i)leader|quorum|outcome")

ROWS = [
    Row("the leader is cut off, in both directions or in one; or it reaches too few nodes",
        "the nodes that reach each other elect another leader within a second or so; the cut-off node goes on decrypting for `consistency.offline`",
        "Decrypts continue at all nodes, and writes at the nodes with a quorum. A write elsewhere gets 503.",
        "Mend the network.",
        [cut_fault("cut-leader", nodes, "the leader and the others do not reach each other", alone, quick=nodes == 3) for nodes in (3, 5)]
        + [cut_fault("silent-leader", nodes, "what the leader sends is lost", silent) for nodes in (3, 5)]
        + [cut_fault("deaf-leader", nodes, "what others send to the leader is lost", deaf, quick=nodes == 3) for nodes in (3, 5)]
        + [cut_fault("one-friend", 5, "the leader reaches one other node only", one_friend),
           cut_fault("minority", 5, "the leader and one other node are apart from the other three", minority)]),
    Row("a follower is cut off in one direction",
        "the follower does not disturb the leader: it asks before it campaigns",
        "Decrypts continue at all nodes, and writes at the others.",
        "Mend the network.",
        [cut_fault("silent-follower", 3, "what a follower sends is lost", silent_follower),
         cut_fault("deaf-follower", 3, "what others send to a follower is lost", deaf_follower)]),
    Row("nodes reach each other in a chain, or through one node only",
        "a node that reaches a quorum leads",
        "Decrypts continue at all nodes, and writes at the nodes that reach the leader.",
        "Mend the network.",
        [cut_fault("hub", 5, "all nodes reach one follower, and no other node", hub),
         cut_fault("chain", 5, "each node reaches its neighbours only", chain)]),
    Row("no node reaches another one",
        "each node goes on decrypting for `consistency.offline`, and says that it has no leader",
        "Decrypts continue. A write gets 503.",
        "Mend the network.",
        [cut_fault("cut-all", 3, "no node reaches another one", everywhere, NO_WRITES)]),
    Row("a link comes and goes, or is slow",
        "connects again; elections may follow",
        "Decrypts continue at all nodes, and writes with pauses.",
        "Mend the network. For a network that is slow every day, raise `cluster.timing`.",
        [Fault("flapping-link", "the link between the leader and a follower fails each second for half a second",
               lambda stage: flap(stage, first_link(stage)), Expected(serving="all"), False, on_own_networks, ("network",)),
         Fault("slow-network", "each packet takes 40 ms longer, give or take 20 ms",
               lambda stage: slow(stage, ["delay", "40ms", "20ms"]), Expected(serving="all"), False, on_own_networks, ("network",)),
         Fault("lossy-network", "one packet in ten is lost",
               lambda stage: slow(stage, ["loss", "10%"]), Expected(serving="all"), False, on_own_networks, ("network",))]),
]
