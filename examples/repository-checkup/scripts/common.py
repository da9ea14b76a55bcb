"""What every task of the checkup shares: the task's environment, git, bounded commands, names that are safe
to print.

A task reads $EZ_INPUT and $EZ_DEPENDENCIES, works in the current directory (its workspace) and leaves two
things behind: a small JSON object in $EZ_OUTPUT (at most MAX_OUTPUT_BYTES, so that `when` and `for_each` of
later tasks can use it) and its full result as an artifact. Python 3.9 or later, standard library only.
"""

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time

MAX_OUTPUT_BYTES = 12 * 1024
SEVERITIES = ("error", "warning", "info")


class Deadline:
    """A budget of wall time that a loop asks as it goes."""

    def __init__(self, seconds):
        self._end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self._end - time.monotonic())

    def passed(self):
        return time.monotonic() >= self._end


class Task:
    """The environment of a task's command: inputs, item of a for_each, results of its dependencies."""

    def __init__(self, environment=None):
        env = os.environ if environment is None else environment
        self.run = env.get("EZ_RUN", "")
        self.output_path = env.get("EZ_OUTPUT", "")
        self.artifacts = env.get("EZ_ARTIFACTS", "")
        self.dependencies = env.get("EZ_DEPENDENCIES", "")
        self._input = {}
        if env.get("EZ_INPUT"):
            with open(env["EZ_INPUT"], encoding="utf-8") as file:
                self._input = json.load(file)
        self.inputs = self._input.get("inputs") or {}
        self.item = self._input.get("item")

    def input_int(self, name, default, low, high):
        """An integer input, held between low and high."""
        value = self.inputs.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            value = default
        return max(low, min(high, int(value)))

    def state(self, dependency):
        return ((self._input.get("tasks") or {}).get(dependency) or {}).get("state", "")

    def result(self, dependency, name):
        """The full result (an artifact) of a dependency, or None when it left none."""
        return read_json(os.path.join(self.dependencies, dependency, name))

    def results(self, dependency, name):
        """The full results of all instances of a for_each dependency, in the order of its list."""
        found = []
        if os.path.isdir(self.dependencies):
            for folder in os.listdir(self.dependencies):
                match = re.fullmatch(re.escape(dependency) + r"\.(\d+)", folder)
                if match:
                    found.append((int(match.group(1)), folder))
        results = [self.result(folder, name) for _, folder in sorted(found)]
        return [result for result in results if result is not None]

    def finish(self, output, artifacts=None):
        """Writes $EZ_OUTPUT and the artifacts (name → object for JSON, or text)."""
        for name, content in (artifacts or {}).items():
            if self.artifacts:
                text = content if isinstance(content, str) else to_json(content)
                with open(os.path.join(self.artifacts, name), "w", encoding="utf-8") as file:
                    file.write(text)
        text = to_json(output)
        if len(text.encode()) > MAX_OUTPUT_BYTES:
            raise ValueError("the output of a task must stay under %d bytes" % MAX_OUTPUT_BYTES)
        if self.output_path:
            with open(self.output_path, "w", encoding="utf-8") as file:
                file.write(text)


def to_json(value):
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def show(name):
    """A file name (bytes or str) as valid, printable UTF-8 of one line: what does not fit is written as
    \\xNN.
    """
    raw = name if isinstance(name, bytes) else os.fsencode(name)
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clip(text, limit):
    text = " ".join(str(text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def say(message):
    print(message, flush=True)


# ---- git

GIT = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "log.showSignature=false"]


def git_environment():
    """Nothing of the caller's machine changes what git prints, and git writes nothing by the way."""
    env = dict(os.environ)
    env.update(
        GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", GIT_PAGER="cat", GIT_LFS_SKIP_SMUDGE="1", LC_ALL="C"
    )
    return env


def git(*args, stdin=None, check=True, timeout=120):
    """The bytes that a git command prints. With check=False a failing command gives None."""
    try:
        done = subprocess.run(
            GIT + list(args),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=git_environment(),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        if check:
            raise
        return None
    if done.returncode != 0:
        if check:
            raise RuntimeError("git %s: %s" % (" ".join(args[:2]), show(done.stderr.strip()[-300:])))
        return None
    return done.stdout


class TrackedFile:
    """One entry of the index: path (bytes, as git has it) and mode."""

    __slots__ = ("path", "mode")

    def __init__(self, path, mode):
        self.path = path
        self.mode = mode

    @property
    def regular(self):
        return self.mode in ("100644", "100755")


def tracked_files():
    """All files that git tracks here, sorted by path; an entry in a merge conflict is listed once."""
    entries = {}
    for record in git("ls-files", "-s", "-z").split(b"\0"):
        if record:
            head, path = record.split(b"\t", 1)
            entries[path] = TrackedFile(path, head.split(b" ", 1)[0].decode())
    return [entries[path] for path in sorted(entries)]


def stays_inside(path):
    """Whether the folders above a tracked path are real folders (a link could lead out of the workspace)."""
    parts = path.split(b"/")[:-1]
    here = b""
    for part in parts:
        here = here + b"/" + part if here else part
        if os.path.islink(here):
            return False
    return True


def read_file(path, limit):
    """At most `limit` bytes of a regular file, or None when it cannot be read."""
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(path, flags), "rb") as file:
            return file.read(limit)
    except OSError:
        return None


# ---- bounded commands
# ------------------------------------------------------------------------------------------------


class Outcome:
    """How a command ended. `tail` holds the last lines of its output, `exit_code` is None when it was cut
    off.
    """

    def __init__(self, command, exit_code, timed_out, seconds, tail, truncated):
        self.command = command
        self.exit_code = exit_code
        self.timed_out = timed_out
        self.seconds = round(seconds, 1)
        self.tail = tail
        self.truncated = truncated

    @property
    def ok(self):
        return self.exit_code == 0 and not self.timed_out


def run_bounded(
    command, cwd=".", timeout=60.0, env=None, echo=True, max_echo=256 * 1024, tail_bytes=64 * 1024
):
    """Runs a command in a process group of its own, without standard input.

    Output is passed on (at most max_echo bytes) and its end is kept. After `timeout` seconds the whole group
    is killed. A command that has ended but left children behind which hold its output open is not waited for.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(command, 127, False, 0.0, str(error), False)
    end = started + max(0.1, timeout)
    tail = bytearray()
    total = 0
    timed_out = False
    grace_until = None
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    os.set_blocking(process.stdout.fileno(), False)
    while True:
        now = time.monotonic()
        if now >= end:
            timed_out = process.poll() is None
            break
        if grace_until is not None and now >= grace_until:
            break
        chunk = b""
        if selector.select(min(0.2, end - now)):
            chunk = process.stdout.read(65536)
            if chunk == b"":
                if process.poll() is None:  # it closed its output but goes on
                    try:
                        process.wait(max(0.1, end - time.monotonic()))
                    except subprocess.TimeoutExpired:
                        timed_out = True
                break
        if chunk:
            if echo and total < max_echo:
                sys.stdout.buffer.write(chunk[: max_echo - total])
                if total + len(chunk) >= max_echo:
                    sys.stdout.buffer.write(b"\n[more output follows; it is not shown]\n")
                sys.stdout.flush()
            total += len(chunk)
            tail += chunk
            del tail[:-tail_bytes]
        if grace_until is None and process.poll() is not None:
            grace_until = time.monotonic() + 1.0
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    selector.close()
    process.stdout.close()
    text = bytes(tail).decode("utf-8", "replace")
    exit_code = None if timed_out else process.returncode
    return Outcome(command, exit_code, timed_out, time.monotonic() - started, text, total > tail_bytes)
