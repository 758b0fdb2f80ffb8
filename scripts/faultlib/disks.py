"""Disks that fill up, and a file system that turns read-only."""

import os
import subprocess

from .tools import Stopped, wait_until

DISK_MIB = 128


def on_small_disks(cluster):
    """Before the start: gives each node a disk of its own, in memory."""
    for node in cluster.nodes:
        disk = node.folder / "disk"
        disk.mkdir()
        mount("-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", disk)
        put_data_on(node, disk)


def on_ext4(cluster):
    """Before the start: gives each node a file system of its own in a file."""
    for node in cluster.nodes:
        disk, image = node.folder / "disk", node.folder / "image"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        if subprocess.run(["mkfs.ext4", "-q", image]).returncode:
            raise Stopped("mkfs.ext4 fails")
        mount("-o", "loop,errors=remount-ro", image, disk)
        put_data_on(node, disk)


def with_snapshots_apart(cluster):
    """Before the start: gives the snapshots of each node a file system of their own."""
    for node in cluster.nodes:
        folder = node.data / "snapshots"
        folder.mkdir(mode=0o700, parents=True)
        mount("-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", folder)


def put_data_on(node, disk):
    (disk / "data").mkdir(mode=0o700)
    node.configure(f'data: "{node.data}"', f'data: "{disk}/data"')
    node.data = disk / "data"


def mount(*words):
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise Stopped(f"mount {' '.join(map(str, words))}: {done.stderr.strip()}")


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


def full(stage, nodes, restart=False):
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
        (node.folder / "disk/filler").unlink()
    stage.proof += f", and {max(left)} when it is emptied"


def read_only(stage, nodes):
    """Turns the file systems of some nodes read-only while their files are open, as ext4 does after an error."""
    stage.begin(nodes)
    for node in nodes:
        break_file_system(node)
    stage.prove(f"a write to the disk of {', '.join(node.name for node in nodes)} fails: the file system is read-only")
    stage.hold(8)
    # The files of a read-only file system that is still in use keep it busy.
    for node in nodes:
        node.stop()
        subprocess.run(["umount", node.folder / "disk"], check=True)
        subprocess.run(["fsck.ext4", "-fy", node.folder / "image"], capture_output=True)
        mount("-o", "loop,errors=remount-ro", node.folder / "image", node.folder / "disk")
    stage.lift()
    for node in nodes:
        node.start()


def no_snapshots(stage, nodes):
    """The folder of snapshots turns read-only, so that each new snapshot fails."""
    folders = [node.data / "snapshots" for node in nodes]
    if wait_until(lambda: all(any(folder.glob("*.snapshot")) for folder in folders), 60) is None:
        raise Stopped("the nodes make no snapshots")
    stage.begin(nodes)
    for folder in folders:
        # While a snapshot is being written, its file system is busy.
        remount = ["mount", "-o", "remount,ro", folder]
        if wait_until(lambda: subprocess.run(remount, capture_output=True).returncode == 0, 20, 0.02) is None:
            raise Stopped(f"{folder} stays writable")
    before = [len(names(folder)) for folder in folders]
    stage.prove(f"{folders[0].name} of {', '.join(node.name for node in nodes)} are mounted read-only")
    stage.hold(15)
    stage.proof += f"; {sum(before)} files there before, {sum(len(names(folder)) for folder in folders)} afterwards"
    for folder in folders:
        mount("-o", "remount,rw", folder)
    stage.lift()


def names(folder):
    return [path.name for path in folder.iterdir()]


def break_file_system(node):
    disk = node.folder / "disk"
    source = subprocess.run(["findmnt", "-no", "SOURCE", disk], capture_output=True, text=True).stdout.strip()
    with open(f"/sys/fs/ext4/{os.path.basename(source)}/trigger_fs_error", "w") as trigger:
        trigger.write("1")
    try:
        (disk / "probe").write_text("x")
    except OSError:
        return
    raise Stopped("the file system is still writable")
