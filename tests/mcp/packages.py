#!/usr/bin/env python3
"""The npm packages of package.json, installed once into a cache folder outside of the tree.

As a program it prints the folder, or, when they cannot be had, the reason, and then ends with 1.
The folder is $EZ_TEST_CACHE or ~/.cache/ez-tests, below it one folder for each version of package-lock.json.
"""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def install() -> tuple[Path | None, str]:
    """(folder with node_modules, "") or (None, why not)."""
    npm = shutil.which("npm")
    if npm is None:
        return None, "npm is not installed"
    lock_file = (HERE / "package-lock.json").read_bytes()
    root = Path(os.environ.get("EZ_TEST_CACHE", Path.home() / ".cache" / "ez-tests"))
    folder = root / ("mcp-" + hashlib.sha256(lock_file).hexdigest()[:16])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test programs may start at once
        done = folder / ".installed"
        if done.exists():
            return folder, ""
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder / name)
        ran = subprocess.run([npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
        if ran.returncode != 0:
            return None, "npm ci failed: " + " ".join(ran.stderr.split())[-300:]
        done.touch()
    return folder, ""


def main() -> int:
    try:
        folder, why = install()
    except (OSError, subprocess.SubprocessError) as error:
        folder, why = None, str(error)
    print(folder or why)
    return 0 if folder else 1


if __name__ == "__main__":
    sys.exit(main())
