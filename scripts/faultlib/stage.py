"""One fault on a fresh cluster under load: what was seen, and the verdict."""

import re
import time

from .load import DELETED, Load, verify
from .tools import say, shorten, wait_until

# How many keys must be acknowledged before a fault begins.
WARM_KEYS = 25
# So long may no decrypt succeed at a node that must go on serving, on a loaded machine.
DECRYPT_GAP_S = 4
# So long may no write succeed anywhere while a quorum is sound: a fail-over and a request that has to wait for it.
WRITE_GAP_S = 12
# So long after the end of a fault every node must serve again.
AGAIN_S = 60
# So long a node that must refuse is watched.
REFUSES_S = 12
# So long two of three nodes are watched that must serve alone, and so long they are watched if they need not.
ALONE_S, ALONE_WAITING_S = 60, 15


class Stage:
    """A fresh cluster under load, and what happens there."""

    def __init__(self, cluster, expected):
        self.cluster, self.expected = cluster, expected
        self.load = Load(cluster)
        self.victims, self.marks, self.damages = [], {}, False
        self.begun = self.lifted = None
        self.proof, self.noticed, self.outcome, self.bad = "", "", [], []

    def warm_up(self):
        ledger = self.load.ledger
        warm = lambda: len(ledger.readable) >= WARM_KEYS and ledger.deleted
        if wait_until(warm, 120) is None:
            raise RuntimeError(f"no load after two minutes: {dict(self.load.bad)}")

    def begin(self, victims):
        """The fault begins now, at these nodes."""
        self.victims = victims
        self.marks = {node: node.mark() for node in self.cluster.nodes}
        for node in self.cluster.nodes:
            node.exits.clear()
        self.begun = time.monotonic()

    def prove(self, text):
        """Notes how the script knows that the fault is there."""
        self.proof = text
        say(f"  installed: {text}")

    def hold(self, seconds):
        time.sleep(seconds)

    def watch_alone(self, nodes):
        """Two of three nodes are up. They must serve, or say what they wait for if that is enough."""
        begin, enough = time.monotonic(), self.expected.alone or self.expected.stays_out
        serve = lambda: all(self.works(node, begin) for node in nodes)
        took = wait_until(serve, ALONE_WAITING_S if enough else ALONE_S, 0.3)
        if took is not None:
            self.outcome.append(f"without the third node both serve after {took:.1f} s")
            return
        said = [f"{node.name}: {text}" for node in nodes for text in self.reasons(node)]
        self.outcome.append(f"without the third node: {shorten('; '.join(said), 300) or 'no word'}")
        if not enough:
            self.bad.append(f"two sound nodes do not serve without the third one: {shorten('; '.join(said), 600)}")
        elif not any(re.search(enough, text) for text in said):
            self.bad.append(f"no node says {enough!r}: {said}")

    def reasons(self, node):
        """Why a node does not serve, as it says itself."""
        last = node.last_word(self.marks[node], 2000) if node in self.victims else "no word"
        return node.waits_for() + [last] * (last != "no word")

    def lift(self):
        """The fault is over, or all that will happen to the nodes has happened."""
        self.judge_meanwhile()
        out = self.expected.stays_out or self.expected.may_stay_out
        self.bad += [f"{node.name} ended for good: {node.last_word(self.marks[node])}" for node in self.cluster.nodes
                     if node.given_up and not (out and node in self.victims)]
        self.lifted = time.monotonic()

    def judge_meanwhile(self):
        """Judges the time with the fault."""
        expected, end = self.expected, time.monotonic()
        must = {"all": self.cluster.nodes, "others": self.others(), "none": []}[expected.serving]
        for node in self.cluster.nodes:
            gap = self.load.longest_gap("decrypt", [node.name], self.begun, end)
            if node in must and gap > DECRYPT_GAP_S:
                self.bad.append(f"{node.name} answered no decrypt for {gap:.1f} s")
        if must:
            gap = max(self.load.longest_gap("decrypt", [node.name], self.begun, end) for node in must)
            self.outcome.append(f"decrypts at {self.called(must)}: pause of at most {gap:.1f} s")
        gap = self.load.longest_gap("create", [node.name for node in self.cluster.nodes], self.begun, end)
        if expected.writes:
            self.outcome.append(f"writes: pause of at most {gap:.1f} s")
            if gap > WRITE_GAP_S:
                self.bad.append(f"no write succeeded for {gap:.1f} s")
        self.judge_refusals()

    def judge_refusals(self):
        names = [node.name for node in self.cluster.nodes]
        refusals = self.load.refusals({"create"}, names)
        if refusals:
            self.outcome.append(f"creates were refused: {shorten(refusals[0], 120)}")
        if self.expected.refusal and not any(re.search(self.expected.refusal, text) for text in refusals):
            self.bad.append(f"no refused write says {self.expected.refusal!r}: {refusals}")

    def called(self, nodes):
        return "all nodes" if len(nodes) == len(self.cluster.nodes) else "the other nodes"

    def others(self):
        return [node for node in self.cluster.nodes if node not in self.victims]

    def notice(self):
        """What the nodes with the fault said about it."""
        said = []
        for node in self.victims:
            said += [f"{level} {text}" for level, text in node.words(self.marks[node])]
            said += [f"waits for {text}" for text in node.waits_for()]
        wanted = self.expected.notice or self.expected.stays_out
        fitting = [text for text in said if re.search(wanted, text)] if wanted else []
        errors = [text for text in said if text.startswith("ERROR")]
        self.noticed = shorten((fitting or errors or said or ["nothing"])[0])
        if wanted and not fitting:
            self.bad.append(f"no node says {wanted!r}")

    def settle(self):
        """Waits until every node serves again that has to, and looks for every acknowledged write."""
        out = self.victims if self.expected.stays_out else []
        if out:
            time.sleep(REFUSES_S)
        elif self.expected.may_stay_out:
            out = self.refusing()
        self.await_again([node for node in self.cluster.nodes if node not in out])
        self.notice()
        self.note_exits()
        self.note_set_aside()
        for node in out:
            self.note_refusal(node)
        self.load.pause()
        self.compare([node for node in self.cluster.nodes if node not in out])

    def refusing(self):
        """The nodes with the fault that say that they cannot come back, after some time."""
        works = lambda: all(self.works(node, self.lifted) for node in self.victims)
        wait_until(works, 2 * REFUSES_S, 0.3)
        says = lambda node: any(re.search(self.expected.may_stay_out, text) for text in self.reasons(node))
        return [node for node in self.victims if not self.works(node, self.lifted) and says(node)]

    def await_again(self, nodes):
        again = {}

        def ended(node):
            return node not in again and node.given_up

        def look():
            for node in nodes:
                if node not in again and self.works(node, self.lifted):
                    again[node] = time.monotonic() - self.lifted
            return len(again) == len(nodes)

        wait_until(lambda: look() or any(map(ended, nodes)), AGAIN_S, 0.3)
        by_hand = [node for node in nodes if ended(node)]
        for node in by_hand:
            self.bad.append(f"{node.name} is down for good: {node.last_word(self.marks[node])}")
            self.outcome.append(f"{node.name} is down until somebody starts it")
            node.start()
        if by_hand:
            wait_until(look, AGAIN_S, 0.3)
        for node in nodes:
            if node not in again:
                state = node.waits_for() or node.last_word(self.marks[node])
                self.bad.append(f"{node.name} does not serve again after {AGAIN_S} s: {state}")
                self.outcome.append(f"{node.name} does not serve again")
        if len(again) == len(nodes):
            self.outcome.append(f"{self.called(nodes)} serve again after {max(again.values()):.1f} s")

    def works(self, node, since):
        """Whether a node has answered a decrypt and a write since then, and says that it serves."""
        did = lambda kind: any(t > since for t in self.load.good[kind, node.name][-3:])
        return node.runs() and did("decrypt") and did("create") and node.serves()

    def note_set_aside(self):
        """A fault of a running node is not damage: no file may be set aside."""
        for node in self.cluster.nodes:
            aside = [path.name for path in node.data.rglob("*damaged*")]
            if aside:
                self.outcome.append(f"{node.name} has set aside {', '.join(aside)}")
                if not self.damages:
                    self.bad.append(f"{node.name} took a sound file for damaged: {', '.join(aside)}")

    def note_exits(self):
        for node in self.cluster.nodes:
            if node.exits:
                counted = "once" if len(node.exits) == 1 else f"{len(node.exits)} times"
                self.outcome.append(f"{node.name} ended with {node.exits[-1]} {counted}")
            if node.given_up and node not in self.victims:
                self.bad.append(f"{node.name} ended for good: {node.last_word(self.marks[node])}")

    def note_refusal(self, node):
        if self.works(node, self.lifted):
            self.outcome.append(f"{node.name} serves")
        else:
            text = node.last_word(self.marks[node])
            if text == "no word":
                text = " ".join(node.waits_for()) or text
            self.outcome.append(f"{node.name} refuses: {text}")

    def compare(self, nodes):
        """Looks for every acknowledged write at every node, and compares the states."""
        serving = [node for node in nodes if node.runs() and node.serves()]
        lost = [text for node in serving for text in verify(self.load, node)]
        keys = self.load.ledger.keys
        deleted = sum(key.state == DELETED for key in keys)
        self.checked = f"{len(keys) - deleted} keys and {deleted} deletions at {len(serving)} nodes"
        self.bad += lost[:5] + self.load.ledger.wrong[:5]
        self.bad += [f"{name} left a client without an answer ({kind})" for name, kind, _ in self.load.hung[:3]]
        if wait_until(lambda: self.digests_agree(serving), 30) is None:
            self.bad.append("the nodes have different states")

    def digests_agree(self, nodes):
        found = [node.status() for node in nodes]
        return all(found) and len({(status["applied"], status.get("digest")) for status in found}) <= 1
