"""System calls that fail or take long, by strace: on a running node, or from its start on."""

import re
import signal
import subprocess

from .tools import Stopped, wait_until

FLUSHES = "fsync,fdatasync"
WRITES = "write,pwrite64,writev,pwritev"
READS = "read,pread64,readv,preadv"


class Strace:
    """Injects something into the system calls of a running node, until it ends."""

    def __init__(self, node, calls, inject, paths=()):
        self.report = node.folder / "strace"
        self.report.unlink(missing_ok=True)
        words = ["strace", "-f", "-qq", "-o", self.report, "-p", str(node.pid), "-e", f"trace={calls}"]
        for path in paths:
            words += ["-P", path]
        words += ["-e", f"inject={calls}:{inject}"]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    def await_first(self):
        if wait_until(lambda: injected(self.report), 30) is None:
            raise Stopped(f"strace injected nothing in 30 s: {self.end()}")

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)[1]


def injected(report):
    """The calls that strace changed."""
    lines = report.read_text(errors="replace").splitlines() if report.exists() else []
    return [re.sub(r"^\d+\s+", "", line) for line in lines if "INJECTED" in line or "DELAYED" in line]


def while_running(stage, nodes, calls, inject, seconds, paths_of=lambda node: ()):
    """Changes the calls of running nodes for some seconds."""
    stage.begin(nodes)
    tracers = [Strace(node, calls, inject, paths_of(node)) for node in nodes]
    try:
        for tracer in tracers:
            tracer.await_first()
        stage.prove(f"strace shows {injected(tracers[0].report)[0]}")
        stage.hold(seconds)
        count = sum(len(injected(tracer.report)) for tracer in tracers)
        stage.proof += f", {count} such calls"
    finally:
        for tracer in tracers:
            tracer.end()
    stage.lift()


def read_error_at_start(stage, path_of):
    """Starts a node again on a disk whose reads of one file fail."""
    node = stage.cluster.followers()[0]
    node.kill()
    path, before = path_of(node), names_in(node.data)
    report = node.folder / "strace"
    inject = ["-P", path, "-e", f"trace={READS}", "-e", f"inject={READS}:error=EIO"]
    node.prefix = ["strace", "-D", "-f", "-qq", "-o", report, *inject]
    stage.begin([node])
    node.start()
    if wait_until(lambda: injected(report), 30) is None:
        raise Stopped("strace injected nothing in 30 s")
    stage.prove(f"strace shows {injected(report)[0]}")
    stage.hold(8)
    stage.proof += f", {len(injected(report))} such calls"
    node.stop()
    node.prefix = []
    aside = [name for name in names_in(node.data) - before if "damaged" in name]
    if aside:
        stage.bad.append(f"an I/O error made the node set aside {sorted(aside)}")
    stage.lift()
    node.start()


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
