"""Creates, decrypts and deletes through all nodes, and a record of everything that was acknowledged."""

import collections
import itertools
import random
import threading
import time

from .client import equal
from .tools import shorten

# How long a reader and a writer pause between two requests.
READ_PAUSE_S, WRITE_PAUSE_S = 0.03, 0.05
# Of so many writes, one is a deletion.
ONE_DELETION_IN = 4
# A node that does not answer is asked again after this time.
REFUSED_PAUSE_S = 0.15

# So many keys are never deleted. Every node knows them long before a fault begins, so it can always use them.
STEADY_KEYS = 10

ALIVE, DELETING, DELETED = "alive", "deleting", "deleted"


class Key:
    """A key whose creation was acknowledged."""

    def __init__(self, name):
        self.name, self.state = name, ALIVE
        self.plaintext = self.ciphertext = None


class Ledger:
    """What the cluster has acknowledged, and everything that it got wrong."""

    def __init__(self):
        self.guard, self.numbers = threading.Lock(), itertools.count(1)
        self.keys, self.wrong = [], []
        # Keys that a thread may decrypt, and keys of which one may show that they are gone.
        self.readable, self.deleted = [], []

    def note_wrong(self, text):
        with self.guard:
            self.wrong.append(text)

    def admit(self, key):
        with self.guard:
            self.keys.append(key)

    def offer(self, key):
        with self.guard:
            self.readable.append(key)

    def take_for_deletion(self):
        """Returns a key that no other thread deletes."""
        with self.guard:
            if len(self.readable) < 2 * STEADY_KEYS:
                return None
            key = self.readable.pop(random.randrange(STEADY_KEYS, len(self.readable)))
            key.state = DELETING
            return key

    def note_deleted(self, key):
        with self.guard:
            key.state = DELETED
            self.deleted.append(key)

    def pick(self, of):
        with self.guard:
            return random.choice(of) if of else None

    def pick_steady(self):
        with self.guard:
            return random.choice(self.readable[:STEADY_KEYS]) if self.readable else None


class Load:
    """Two readers and a writer for each node. They never stop at an error: they write it down."""

    def __init__(self, cluster):
        self.cluster, self.ledger = cluster, Ledger()
        self.ending, self.paused = threading.Event(), threading.Event()
        self.good = collections.defaultdict(list)  # (kind, node name): times of good answers
        self.bad = collections.defaultdict(collections.Counter)  # (kind, node name): texts of refusals
        self.hung, self.slowest = [], 0.0
        self.busy = 0
        self.threads = []
        for node in cluster.nodes:
            for work in (self.read_steady, self.read_any, self.write):
                self.threads.append(threading.Thread(target=self.repeat, args=(work, node), daemon=True))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)

    def pause(self):
        """Stops the load, and returns when no request is in flight."""
        self.paused.set()
        while self.busy:
            time.sleep(0.05)

    def resume(self):
        self.paused.clear()

    def repeat(self, work, node):
        client = node.client()
        while not self.ending.is_set():
            if self.paused.is_set():
                time.sleep(0.05)
                continue
            with self.ledger.guard:
                self.busy += 1
            try:
                work(client, node)
            except Exception as error:  # A fault of this script must not look like a quiet node.
                self.ledger.note_wrong(f"the script failed: {error!r}")
            finally:
                with self.ledger.guard:
                    self.busy -= 1

    def note(self, kind, node, answer):
        """Notes an answer, and returns whether it is 200."""
        if answer.status == 200:
            self.good[kind, node.name].append(time.monotonic())
            self.slowest = max(self.slowest, answer.took)
            return True
        self.bad[kind, node.name][answer.text()] += 1
        if answer.hung:
            self.hung.append((node.name, kind, time.monotonic()))
        if answer.status not in (0, 503):
            self.ledger.note_wrong(f"{kind} at {node.name}: {shorten(answer.text())}")
        time.sleep(REFUSED_PAUSE_S)
        return False

    def read_steady(self, client, node):
        """Decrypts with a key that the node knows. It needs no other node for that."""
        key = self.ledger.pick_steady()
        if key:
            self.decrypt("decrypt", client, node, key)
        time.sleep(READ_PAUSE_S)

    def read_any(self, client, node):
        """Decrypts with any key. A node that does not know it asks the leader, and waits if there is none."""
        if random.randrange(10) == 0:
            self.read_deleted(client, node)
        key = self.ledger.pick(self.ledger.readable)
        if key:
            self.decrypt("decrypt of any key", client, node, key)
        time.sleep(READ_PAUSE_S)

    def decrypt(self, kind, client, node, key):
        answer = client.decrypt(key.name, key.ciphertext)
        if answer.status == 404 and key.state != ALIVE:
            return
        if self.note(kind, node, answer) and not equal(answer.json()["plaintext"], key.plaintext):
            self.ledger.note_wrong(f"decrypt at {node.name}: another plaintext for {key.name}")

    def read_deleted(self, client, node):
        key = self.ledger.pick(self.ledger.deleted)
        if key and client.decrypt(key.name, key.ciphertext).status == 200:
            self.ledger.note_wrong(f"decrypt at {node.name}: {key.name} is used after its deletion was acknowledged")

    def write(self, client, node):
        if random.randrange(ONE_DELETION_IN) == 0:
            self.delete(client, node)
        else:
            self.create(client, node)
        time.sleep(WRITE_PAUSE_S)

    def create(self, client, node):
        key = Key(f"key-{next(self.ledger.numbers)}")
        if not self.note("create", node, client.create(key.name)):
            return
        self.ledger.admit(key)
        answer = client.generate(key.name)
        if self.note("generate", node, answer):
            data_key = answer.json()
            key.plaintext, key.ciphertext = data_key["plaintext"], data_key["ciphertext"]
            self.ledger.offer(key)

    def delete(self, client, node):
        key = self.ledger.take_for_deletion()
        if key and self.note("delete", node, client.delete(key.name)):
            self.ledger.note_deleted(key)

    def longest_gap(self, kind, names, begin, end):
        """The longest time without a good answer of this kind from any of these nodes."""
        times = sorted(t for name in names for t in self.good[kind, name] if begin <= t <= end)
        edges = [begin, *times, end]
        return max(later - earlier for earlier, later in zip(edges, edges[1:]))

    def refusals(self, kinds, names):
        """The texts of answers that were not good, the most frequent ones first. A broken connection has no text."""
        texts = collections.Counter()
        for (kind, name), counted in list(self.bad.items()):
            if kind in kinds and name in names:
                texts.update({text: n for text, n in counted.items() if text[0].isdigit()})
        return [text for text, _ in texts.most_common(3)]


def verify(load, node):
    """Asks a node for every key whose outcome is known. Returns what is not as it was acknowledged."""
    client, lost = node.client(), []
    for key in list(load.ledger.keys):
        if key.state == DELETING:
            continue
        answer = client.decrypt(key.name, key.ciphertext) if key.ciphertext else client.generate(key.name)
        if key.state == ALIVE and answer.status != 200:
            lost.append(f"{key.name} at {node.name}, which was acknowledged: {answer.text()}")
        elif key.state == ALIVE and key.plaintext and not equal(answer.json()["plaintext"], key.plaintext):
            lost.append(f"{key.name} at {node.name}: another plaintext")
        elif key.state == DELETED and answer.status != 404:
            lost.append(f"{key.name} at {node.name}, whose deletion was acknowledged: {answer.text()}")
    return lost
