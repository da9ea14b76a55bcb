"""Processes and folders of test servers: what was started here is stopped here, by its process id, and nothing else."""
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PATIENCE = 300.0
_taken: dict[int, object] = {}  # port → the open file whose lock keeps it ours


class Unavailable(Exception):
    """A server cannot be had on this machine; the text says why."""


def wait_until(condition, what: str, patience: float = PATIENCE):
    """Polls a fact of another process; the bound is only there to end a broken test."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s in vain for: {what}")
        pause.wait(0.02)


def _take(port: int) -> bool:
    """Some servers need seconds until they listen; other test programs look for ports in the meantime."""
    folder = Path(tempfile.gettempdir()) / "ez-test-ports"
    folder.mkdir(exist_ok=True)
    lock = open(folder / str(port), "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        return False
    _taken[port] = lock
    return True


def free_port(also: int = 0) -> int:
    """A port of 127.0.0.1 that nobody listens on and that the system gives to nobody by itself (it hands out from 32768
    on). With `also`, port + also is free too (a Redis cluster has its bus there). A port is given once, as long as this
    process lives."""
    for _ in range(2000):
        port = 12000 + int.from_bytes(os.urandom(2), "little") % 9000
        if port in _taken or (also and port + also in _taken):
            continue
        if not _take(port):
            continue
        if also and not _take(port + also):
            _taken.pop(port).close()
            continue
        return port
    raise Unavailable("no free port on 127.0.0.1")


def program(*names: str) -> str:
    """The path of the first of these programs that is there."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise Unavailable(f"{names[0]} is not installed")


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def _die_with_parent():
    # PR_SET_PDEATHSIG: when the test dies by kill -9, its servers do too.
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


class Process:
    """One child process with its log. Not thread-safe."""

    def __init__(self, command: list[str], log: Path, env: dict | None = None, cwd: Path | None = None):
        self.command = command
        self.log = log
        self.env = {**os.environ, **(env or {})}
        self.cwd = cwd
        self.child: subprocess.Popen | None = None

    def start(self):
        assert self.child is None, "started twice"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                          cwd=self.cwd, preexec_fn=_die_with_parent)

    def running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def check(self):
        """Says at once when it died instead of waiting in vain."""
        if not self.running():
            raise AssertionError(f"{self.command[0]} ended by itself: {self.tail()}")

    def signal(self, number: int):
        if self.running():
            self.child.send_signal(number)

    def kill(self):
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.reap()

    def stop(self, patience: float = 20.0):
        if self.child is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(patience)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        self.reap()

    def reap(self):
        if self.child is not None:
            self.child.wait()
            self.child = None

    def tail(self) -> str:
        try:
            return self.log.read_text(errors="replace")[-3000:]
        except OSError:
            return ""


class Server:
    """A server of one or more nodes in one temporary folder. Subclasses fill nodes, describe() and ready().
    disk_mb: the folder is a file system of its own, of that size, which fill() and empty() use up and free."""

    def __init__(self, disk_mb: int = 0):
        self.folder = Path(tempfile.mkdtemp(prefix="ez-server-"))
        self.nodes: list[Process] = []
        self.mounted = False
        if disk_mb:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk_mb}m", "ez-server", str(self.folder)],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                self.folder.rmdir()
                raise Unavailable(f"a file system cannot be mounted: {done.stderr.strip()}")
            self.mounted = True

    def start(self) -> "Server":
        try:
            for node in self.nodes:
                node.start()
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self):
        """Until every running node takes requests."""
        for number, node in enumerate(self.nodes):
            if node.running():
                wait_until(lambda: (node.check(), self.ready(number))[1],
                           f"node {number} of {type(self).__name__}: {node.tail()}")

    def ready(self, node: int) -> bool:
        raise NotImplementedError

    def describe(self) -> dict:
        """What a client needs to know."""
        raise NotImplementedError

    def erase(self, node: int):
        """Empties the data of a stopped node."""
        raise NotImplementedError

    def kill(self, node: int = 0):
        self.nodes[node].kill()

    def pause(self, node: int = 0):
        self.nodes[node].signal(signal.SIGSTOP)

    def resume(self, node: int = 0):
        self.nodes[node].signal(signal.SIGCONT)

    def restart(self, node: int = 0, empty: bool = False):
        self.nodes[node].stop()
        if empty:
            self.erase(node)
        self.nodes[node].start()
        self.wait()

    def fill(self, _node: int = 0):
        """Somebody else's file takes all the room that is left on the disk."""
        assert self.mounted, "the disk of everybody is not to be filled"
        with open(self.folder / "other", "ab", buffering=0) as file:
            piece = b"x" * (1 << 20)
            while piece:
                try:
                    file.write(piece)
                except OSError:
                    piece = piece[:len(piece) // 2]

    def empty(self, _node: int = 0):
        (self.folder / "other").unlink()

    def stop(self):
        for node in reversed(self.nodes):
            node.stop()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
