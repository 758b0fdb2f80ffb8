"""Faults of running nodes: disks that fill up, errors of the disk, slow disks, pauses, no descriptors."""

import os
import re
import resource
import signal
import subprocess
import time

from .stage import Expected
from .tools import Stopped, wait_until

DISK_MIB = 128
FLUSHES = "fsync,fdatasync"
WRITES = "write,pwrite64,writev,pwritev"


# Disks that fill up.

def fill(node):
    """Fills the disk of a node to the last block, as somebody else's file does."""
    block = b"\1" * (1 << 20)
    with (node.folder / "disk/filler").open("ab", buffering=0) as filler:
        for size in (1 << 20, 4096, 512):
            try:
                while True:
                    filler.write(block[:size])
            except OSError:
                pass
    return os.statvfs(node.folder / "disk").f_bavail


def empty(node):
    (node.folder / "disk/filler").unlink()


def on_small_disks(cluster):
    """Before the start: gives each node a disk of its own, in memory."""
    for node in cluster.nodes:
        disk = node.folder / "disk"
        disk.mkdir()
        mount("-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", disk)
        (disk / "data").mkdir(mode=0o700)
        node.configure(f'data: "{node.data}"', f'data: "{disk}/data"')
        node.data = disk / "data"


def mount(*words):
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise Stopped(f"mount {' '.join(map(str, words))}: {done.stderr.strip()}")


def disk_full(stage, nodes, restart=False):
    stage.begin(nodes)
    left = [fill(node) for node in nodes]
    stage.prove(f"statvfs shows {max(left)} free blocks at {', '.join(node.name for node in nodes)}")
    stage.hold(8)
    if restart:
        for node in nodes:
            node.stop()
            fill(node)
        for node in nodes:
            node.start()
        stage.hold(12)
    left = [os.statvfs(node.folder / "disk").f_bavail for node in nodes]
    stage.lift()
    for node in nodes:
        empty(node)
    stage.proof += f", and {max(left)} when it is emptied"


# Errors and pauses of system calls.

class Strace:
    """Injects something into the system calls of a running node, until it ends."""

    def __init__(self, node, calls, inject, paths=()):
        self.report = node.folder / "strace"
        words = ["strace", "-f", "-qq", "-o", self.report, "-p", str(node.pid), "-e", f"trace={calls}"]
        for path in paths:
            words += ["-P", path]
        words += ["-e", f"inject={calls}:{inject}"]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    def injected(self):
        """How many calls were changed, and one of them."""
        lines = self.report.read_text(errors="replace").splitlines() if self.report.exists() else []
        lines = [line for line in lines if "INJECTED" in line or "DELAYED" in line]
        return len(lines), re.sub(r"^\d+\s+", "", lines[0]) if lines else ""

    def await_first(self):
        if wait_until(lambda: self.injected()[0], 30) is None:
            raise Stopped(f"strace injected nothing in 30 s: {self.end()}")

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)[1]


def with_strace(stage, node, calls, inject, seconds, paths=()):
    stage.begin([node])
    strace = Strace(node, calls, inject, paths)
    try:
        strace.await_first()
        stage.prove(f"strace shows {strace.injected()[1]}")
        stage.hold(seconds)
        stage.lift()
        stage.proof += f", {strace.injected()[0]} such calls"
    finally:
        strace.end()


def log_chunk(node):
    return sorted((node.data / "log").glob("r-*.wal"))[-1]


def sled_log(node):
    return node.data / "keystore" / (node.data / "keystore/CURRENT").read_text().strip() / "db"


def error_at_start(stage, path_of):
    """Starts a node again on a disk whose reads of one file fail."""
    node = stage.cluster.followers()[0]
    node.stop()
    path, before = path_of(node), names_in(node.data)
    report = node.folder / "strace"
    calls = "read,pread64,readv,preadv"
    node.prefix = ["strace", "-D", "-f", "-qq", "-o", report, "-P", path, "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]
    stage.begin([node])
    node.start()
    injected = lambda: [line for line in report.read_text(errors="replace").splitlines() if "INJECTED" in line]
    if wait_until(lambda: report.exists() and injected(), 30) is None:
        raise Stopped("strace injected nothing in 30 s")
    stage.prove(f"strace shows {re.sub(r'^[0-9]+ +', '', injected()[0])}")
    stage.hold(6)
    stage.proof += f", {len(injected())} such calls"
    node.stop()
    node.prefix = []
    after = names_in(node.data)
    # An I/O error is not damage: nothing may be renamed or set aside.
    if any("damaged" in name for name in after - before):
        stage.bad.append(f"an I/O error made the node set aside {sorted(after - before)}")
    stage.lift()
    node.start()


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# Pauses.

def pause(stage, node, seconds):
    stage.begin([node])
    os.kill(node.pid, signal.SIGSTOP)
    state = lambda: re.search(r"State:\s+(\S.*)", open(f"/proc/{node.pid}/status").read())[1]
    wait_until(lambda: state().startswith("T"), 5, 0.01)
    stage.prove(f"/proc shows the state {state()} of {node.name}, for {seconds} s")
    stage.hold(seconds)
    os.kill(node.pid, signal.SIGCONT)
    stage.lift()


# No descriptors.

def no_descriptors(stage, node):
    stage.begin([node])
    usual = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (0, usual[1]))
    now = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)[0]
    stage.prove(f"prlimit shows at most {now} open files at {node.name}, which has {node.open_files()}")
    stage.hold(8)
    stage.lift()
    if node.runs():
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, usual)


# A file system that turns read-only.

def read_only(stage, node):
    """Turns the file system of a node read-only while its files are open, as ext4 does after an error."""
    stage.begin([node])
    source = subprocess.run(["findmnt", "-no", "SOURCE", node.folder / "disk"], capture_output=True, text=True).stdout.strip()
    with open(f"/sys/fs/ext4/{os.path.basename(source)}/trigger_fs_error", "w") as trigger:
        trigger.write("1")
    try:
        (node.folder / "disk/probe").write_text("x")
        raise Stopped("the file system is still writable")
    except OSError as error:
        stage.prove(f"a write to the disk of {node.name} fails: {error.strerror}")
    stage.hold(8)
    node.stop()
    subprocess.run(["umount", node.folder / "disk"], check=True)
    subprocess.run(["fsck.ext4", "-fy", node.folder / "image"], capture_output=True)
    mount("-o", "loop,errors=remount-ro", node.folder / "image", node.folder / "disk")
    stage.lift()
    node.start()


def on_ext4(cluster):
    """Before the start: gives the third node a file system of its own in a file."""
    node = cluster.nodes[2]
    disk, image = node.folder / "disk", node.folder / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    if subprocess.run(["mkfs.ext4", "-q", image]).returncode:
        raise Stopped("mkfs.ext4 is missing")
    mount("-o", "loop,errors=remount-ro", image, disk)
    (disk / "data").mkdir(mode=0o700)
    node.configure(f'data: "{node.data}"', f'data: "{disk}/data"')
    node.data = disk / "data"


def leader(stage):
    if wait_until(stage.cluster.leader, 30) is None:
        raise RuntimeError("no node leads")
    return stage.cluster.leader()


def follower(stage):
    return stage.cluster.followers()[0]
