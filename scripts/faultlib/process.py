"""Faults of a process: it pauses, it is killed, it gets no descriptors or no memory."""

import os
import re
import resource
import signal

from .tools import wait_until

# Enough for the files that a program needs to begin, and too few for a node.
FEW_DESCRIPTORS = 24
# Linux reads a limit of 0 bytes as no limit. This one is below what each node has, so that it gets nothing more.
NO_MEMORY = 4096
# Enough for a program to begin, and too little for a node.
LITTLE_MEMORY = 24 << 20
# So many clients connect to a node that gets no more descriptors or memory.
CROWD = 300


def pause(stage, nodes, seconds):
    stage.begin(nodes)
    for node in nodes:
        os.kill(node.pid, signal.SIGSTOP)
    for node in nodes:
        wait_until(lambda: state(node).startswith("T"), 5, 0.01)
    stage.prove(f"/proc shows the state {state(nodes[0])} of {', '.join(node.name for node in nodes)}, for {seconds} s")
    stage.hold(seconds)
    for node in nodes:
        os.kill(node.pid, signal.SIGCONT)
    stage.lift()


def state(node):
    return re.search(r"State:\s+(\S.*)", open(f"/proc/{node.pid}/status").read())[1]


def kill(stage, nodes):
    """Kills nodes; what starts them again is as patient as systemd."""
    stage.begin(nodes)
    for node in nodes:
        os.kill(node.pid, signal.SIGKILL)
    # `exits` has it as soon as the keeper of the cluster sees it.
    wait_until(lambda: all(node.exits for node in nodes), 10)
    stage.prove(f"{', '.join(node.name for node in nodes)} ended by signal {-nodes[0].exits[-1]}")
    stage.lift()


def limit(stage, node, kind, value, seconds):
    """Lowers a limit of a running node, and raises it again if that process still runs."""
    stage.begin([node])
    process, usual = node.process, resource.prlimit(node.pid, kind)
    resource.prlimit(process.pid, kind, (value, usual[1]))
    now = resource.prlimit(process.pid, kind)[0]
    stage.prove(f"prlimit shows a limit of {now} at {node.name}, which has {node.open_files()} open files")
    crowd = crowd_of(node)
    stage.hold(seconds)
    stage.proof += f"; {len(crowd)} of {CROWD} clients could connect"
    for client in crowd:
        client.close()
    stage.lift()
    if process.poll() is None:
        resource.prlimit(process.pid, kind, usual)


def crowd_of(node):
    """Clients that hold their connections, so that the node needs descriptors and memory. The last one may have failed."""
    crowd = []
    while len(crowd) < CROWD:
        client = node.client(timeout_s=2)
        if not client.request("GET", "/version").status:
            break
        crowd.append(client)
    return crowd


def limited_start(stage, node, kind, value, seconds):
    """Starts a node with a low limit, and then again without."""
    node.stop()
    names = {resource.RLIMIT_NOFILE: "nofile", resource.RLIMIT_DATA: "data"}
    stage.begin([node])
    node.prefix = ["prlimit", f"--{names[kind]}={value}:{value}"]
    node.start()
    stage.prove(f"prlimit starts {node.name} with a {names[kind]} of {value}")
    stage.hold(seconds)
    stage.lift()
    node.stop()
    node.prefix = []
    node.start()
