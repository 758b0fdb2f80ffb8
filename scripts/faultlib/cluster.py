"""Some nodes, each a process of its own, started again as systemd would (deploy/keyraft.service)."""

import json
import os
import re
import signal
import subprocess
import threading
import time

from .client import Client
from .tools import shorten, wait_until

# deploy/keyraft.service: RestartSec and RestartPreventExitStatus.
RESTART_S, NEEDS_SOMEBODY = 1, 2
# Small snapshots, a short log and frequent checkpoints, so that each kind of file is there after seconds, and a node that
# was away for a while needs a snapshot.
SETTINGS = [
    ("log_bytes: 67108864", "log_bytes: 65536"),
    ("keep_entries: 10000", "keep_entries: 100"),
    ("checkpoint_every: 10s", "checkpoint_every: 1s"),
]
LINE = re.compile(r"^\S+Z\s+(ERROR|WARN|INFO)\s+\S+: (.*)$")


class Cluster:
    """The nodes, and a thread that starts those again that ended."""

    def __init__(self, program, folder, port, count):
        self.program, self.folder = program, folder
        command = [program, "dev", "--dir", folder, "--port", str(port), "--nodes", str(count), "--prepare", "--json"]
        subprocess.run(command, check=True, capture_output=True)
        self.nodes = [Node(program, folder / f"node-{n}", port + n - 1) for n in range(1, count + 1)]
        self.ending = threading.Event()
        self.keeper = threading.Thread(target=self.keep, daemon=True)

    def start(self):
        for node in self.nodes:
            node.start()
        self.keeper.start()
        for node in self.nodes:
            if wait_until(node.serves, 60) is None:
                raise RuntimeError(f"{node.name} does not serve after a minute:\n{node.text()[-3000:]}")

    def keep(self):
        while not self.ending.is_set():
            for node in self.nodes:
                node.keep()
            time.sleep(0.1)

    def end(self):
        self.ending.set()
        if self.keeper.is_alive():
            self.keeper.join()
        for node in self.nodes:
            node.kill()

    def leader(self):
        """The node that leads, as the nodes report it, or None."""
        for node in self.nodes:
            status = node.status() if node.runs() else None
            if status and status.get("leader"):
                return self.nodes[status["leader"] - 1]
        return None

    def await_leader(self):
        if wait_until(self.leader, 30) is None:
            raise RuntimeError("no node leads after 30 s")

    def followers(self):
        self.await_leader()
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def others(self, node):
        return [other for other in self.nodes if other is not node]


class Node:
    """One node, and what it said and did."""

    def __init__(self, program, folder, port):
        self.program, self.folder, self.name = program, folder, folder.name
        self.host, self.port = "127.0.0.1", port
        self.data, self.log = folder / "data", folder / "keyraft.log"
        self.process, self.wanted, self.guard = None, False, threading.Lock()
        self.prefix = []  # what runs the node: strace, for example
        self.exits, self.given_up = [], False
        for old, new in SETTINGS:
            self.configure(old, new)

    def configure(self, old, new):
        config = self.folder / "config.yml"
        text = config.read_text()
        if old not in text:
            raise RuntimeError(f"{config} has no {old!r}")
        config.write_text(text.replace(old, new))

    def move_data(self, data):
        """Lets the node have its data folder somewhere else."""
        self.configure(f'data: "{self.data}"', f'data: "{data}"')
        self.data.rename(data)
        self.data = data

    def start(self):
        with self.guard:
            self.wanted, self.given_up = True, False
            self.begin()

    def begin(self):
        command = [*self.prefix, self.program, "server", "--config", self.folder / "config.yml"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def keep(self):
        """Starts the node again when it ended although it should run, as systemd does."""
        with self.guard:
            if not self.wanted or self.given_up or self.process.poll() is None:
                return
            self.exits.append(self.process.returncode)
            if self.process.returncode in (0, NEEDS_SOMEBODY):
                self.given_up = True
                return
            time.sleep(RESTART_S)
            self.begin()

    def stop(self, number=signal.SIGTERM):
        with self.guard:
            self.wanted = False
            if self.process and self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(40)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()

    def kill(self):
        self.stop(signal.SIGKILL)

    @property
    def pid(self):
        return self.process.pid

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def serves(self):
        """Whether the node says that it serves."""
        status = self.status()
        return bool(status) and status["node"]["state"] == "serving" and bool(status.get("leader"))

    def status(self):
        """What the node reports on its local socket, or None."""
        command = [self.program, "cluster", "status", "--data", self.data, "--json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
            return json.loads(done.stdout) if done.returncode == 0 else None
        except (subprocess.TimeoutExpired, ValueError):
            return None

    def waits_for(self):
        status = self.status() if self.runs() else None
        return (status or {}).get("waiting_for") or []

    def text(self, since=0):
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def mark(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def words(self, since):
        """The errors and warnings since a mark, each with its level; what a start prints when it fails is an error."""
        found = []
        for line in self.text(since).splitlines():
            match = LINE.match(line)
            if match and match[1] != "INFO":
                found.append((match[1], match[2]))
            elif not match and line.startswith(("error", "keyraft", "Error")):
                found.append(("ERROR", line))
        return found

    def last_word(self, since, length=220):
        errors = [text for level, text in self.words(since) if level == "ERROR"]
        return shorten(errors[-1], length) if errors else "no word"

    def client(self, **options):
        return Client(self.folder.parent, self.host, self.port, **options)

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
