"""Starts the real binary on free ports in temporary directories, and stops it by the process id that started it."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(os.environ.get("EZ_SOURCE_DIR", Path(__file__).resolve().parents[2]))
EZ = str(Path(os.environ.get("EZ_BINARY", ROOT / "build/release/bin/ez")).resolve())
PATIENCE = 60.0


class Problem(Exception):
    """An answer of 400 and more."""

    def __init__(self, status: int, body: dict):
        super().__init__(f"{status} {body.get('code')}: {body.get('detail')}")
        self.status = status
        self.code = body.get("code")
        self.body = body


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


class Server:
    """`ez up` on a data directory of its own."""

    def __init__(self, data: Path, agents: int = 0, wrapper: list[str] | None = None, extra: list[str] | None = None):
        self.data = Path(data)
        self.agents = agents
        self.wrapper = wrapper or []
        self.extra = extra or []
        self.process: subprocess.Popen | None = None
        self.url = ""
        self.log = self.data.parent / (self.data.name + ".log")

    def start(self) -> "Server":
        (self.data / "server.json").unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, EZ, "up", "--data", str(self.data), "--listen", "127.0.0.1:0",
                 "--agents", str(self.agents), *self.extra],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._ready, f"the server on {self.data} (log: {self.tail()})")
        return self

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ez up ended with {self.process.returncode}: {self.tail()}")
        try:
            self.url = json.loads((self.data / "server.json").read_text())["url"]
            with urllib.request.urlopen(self.url + "/readyz", timeout=5) as answer:
                return answer.status == 200
        except (OSError, ValueError, KeyError):
            return False

    def tail(self) -> str:
        try:
            return self.log.read_text(errors="replace")[-2000:]
        except OSError:
            return ""

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server did not stop within 30 s of SIGTERM: " + self.tail()) from None

    def call(self, method: str, path: str, body=None, headers: dict | None = None, raw: bytes | None = None):
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", "Bearer " + (self.data / "token").read_text().strip())
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                raise Problem(error.code, json.loads(text)) from None
            except ValueError:
                raise Problem(error.code, {"code": None, "detail": text.decode(errors="replace")}) from None

    def run(self, run: str) -> dict:
        return self.call("GET", f"/v1/runs/{run}")

    def wait_for_run(self, run: str, patience: float = PATIENCE) -> dict:
        def over():
            view = self.run(run)
            return view if view["state"] in ("succeeded", "failed", "cancelled") else None
        return wait_until(over, f"the end of {run}", patience)

    def register(self, source: str) -> dict:
        return self.call("POST", "/v1/workflows", {"source": source})

    def start_run(self, workflow: str, inputs: dict | None = None, key: str = "") -> str:
        body = {"workflow": workflow, "inputs": inputs or {}}
        if key:
            body["idempotency_key"] = key
        return self.call("POST", "/v1/runs", body)["run"]


class Worker:
    """`ez agent` beside a server."""

    def __init__(self, server: Server, name: str, capacity: int, workspaces: Path):
        self.server, self.name, self.capacity, self.workspaces = server, name, capacity, workspaces
        self.process: subprocess.Popen | None = None
        self.log = server.data.parent / f"{name}.log"

    def start(self) -> "Worker":
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [EZ, "agent", "--server", self.server.url, "--token-file", str(self.server.data / "token"),
                 "--name", self.name, "--capacity", str(self.capacity), "--workspaces", str(self.workspaces)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()


def ez(*arguments: str, data: Path | None = None, cwd: Path | None = None, timeout: float = 120,
       env: dict | None = None) -> subprocess.CompletedProcess:
    """One CLI call; its server is found through the data directory."""
    environment = {**os.environ, **(env or {})}
    if data is not None:
        environment["EZ_DATA"] = str(data)
    return subprocess.run([EZ, *arguments], cwd=cwd, env=environment, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(repository), "-c", "user.name=Test", "-c", "user.email=test@localhost",
                           *arguments], check=True, text=True, capture_output=True).stdout


def make_repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "README.md").write_text("# A repository\n")
    (folder / "numbers.txt").write_text("".join(f"{n}\n" for n in range(20)))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "begin")
    return folder


class Sandbox:
    """A temporary directory with helpers, for one test."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="ez-e2e-"))
        self.data = self.root / "data"

    def close(self):
        if os.environ.get("EZ_KEEP"):  # for looking at what a failed test left behind
            print("kept:", self.root)
            return
        shutil.rmtree(self.root, ignore_errors=True)
