"""Which build systems a repository has, and which of them can be tried on this machine without a network.

detect() returns two lists of {system, folder, file, …}: those to build, and those that are not tried, with
the reason. Only the outermost place of each system counts (a CMakeLists.txt in a subfolder belongs to the one
above it).
"""

import os
import re
import shutil
import subprocess

from common import read_file, read_json, show
from languages import is_example, is_test, is_test_data, is_vendored

MAX_BUILDS = 6
MARKERS = {  # file name → system, in the order in which systems of one folder are preferred
    "CMakeLists.txt": "cmake",
    "meson.build": "meson",
    "configure": "autotools",
    "configure.ac": "autotools",
    "Makefile": "make",
    "GNUmakefile": "make",
    "makefile": "make",
    "package.json": "npm",
    "Cargo.toml": "cargo",
    "go.mod": "go",
    "pyproject.toml": "python",
    "setup.py": "python",
    "setup.cfg": "python",
    "pom.xml": "maven",
    "build.gradle": "gradle",
    "build.gradle.kts": "gradle",
    "Makefile.PL": "perl",
    "Build.PL": "perl",
    "Gemfile": "ruby",
    "composer.json": "php",
    "mix.exs": "elixir",
    "rebar.config": "erlang",
    "dune-project": "dune",
    "stack.yaml": "haskell",
    "build.zig": "zig",
    "Package.swift": "swift",
    "SConstruct": "scons",
    "WORKSPACE": "bazel",
    "MODULE.bazel": "bazel",
    "build.sbt": "sbt",
    "pubspec.yaml": "dart",
    "flake.nix": "nix",
}
ORDER = list(dict.fromkeys(MARKERS.values()))
NEEDS = {
    "cmake": ["cmake"],
    "meson": ["meson", "ninja"],
    "autotools": ["make", "cc"],
    "make": ["make"],
    "npm": ["node"],
    "cargo": ["cargo"],
    "go": ["go"],
    "python": ["python3"],
}
NEEDS_NETWORK = {
    "maven": "Maven fetches its own plugins from the network",
    "gradle": "Gradle fetches its plugins from the network",
    "bazel": "Bazel fetches its rules from the network",
    "nix": "Nix fetches its inputs from the network",
    "sbt": "sbt fetches its own parts from the network",
}


def tool_works(name):
    """A tool counts when it runs: a wrapper may be on the PATH whose real program is not installed."""
    if shutil.which(name) is None:
        return False
    if name not in ("cargo", "go", "node", "meson"):
        return True
    try:
        done = subprocess.run(
            [name, "version" if name == "go" else "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
        return done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def detect(files, has_tool=tool_works):
    """files: tracked regular files. Returns (to build, not tried)."""
    places = {}
    python_tests = False
    for file in files:
        folder, name = os.path.split(file.path)
        text = file.path.decode("utf-8", "replace")
        if text.endswith(".py") and is_test(text):
            python_tests = True
        system = MARKERS.get(name.decode("utf-8", "replace"))
        if system and not (is_vendored(text) or is_test(text) or is_test_data(text) or is_example(text)):
            places.setdefault(system, {}).setdefault(folder, name)
    if "python" not in places and python_tests:
        places["python"] = {b"": b"(test files)"}
    found = []
    for system in ORDER:
        kept = []
        for folder in sorted(places.get(system, {}), key=lambda f: (f.count(b"/") + (f != b""), f)):
            if not any(k == b"" or folder == k or folder.startswith(k + b"/") for k in kept):
                kept.append(folder)
                found.append({"system": system, "folder": folder, "file": places[system][folder]})
    found.sort(
        key=lambda b: (b["folder"].count(b"/") + (b["folder"] != b""), b["folder"], ORDER.index(b["system"]))
    )
    to_build, not_tried, tools = [], [], {}
    for build in found:
        why = _obstacle(build, found, lambda name: tools.setdefault(name, has_tool(name)))
        entry = {
            "system": build["system"],
            "folder": show(build["folder"]) or ".",
            "file": show(build["file"]),
        }
        if not why and entry["folder"] != "." and os.fsencode(entry["folder"]) != build["folder"]:
            why = "the name of its folder is not plain text"
        if not why and len(to_build) >= MAX_BUILDS:
            why = "only the first %d builds of a repository are tried" % MAX_BUILDS
        if why:
            not_tried.append(dict(entry, why=why))
        else:
            to_build.append(entry)
    return to_build, not_tried


def _obstacle(build, found, has_tool):
    system, folder = build["system"], build["folder"]
    if system in NEEDS_NETWORK:
        return NEEDS_NETWORK[system] + ", and tasks run without one"
    if system not in NEEDS:
        return "no recipe for %s in this checkup" % system
    for tool in NEEDS[system]:
        if not has_tool(tool) and not (tool == "cc" and has_tool("gcc")):
            return "%s is not installed on this machine" % tool
    here = {b["system"] for b in found if b["folder"] == folder}
    if system == "make" and "autotools" in here:
        return "the Makefile belongs to autotools, which is built instead"
    if system == "autotools" and build["file"] != b"configure" and not has_tool("autoreconf"):
        return "configure is not in the repository and autoreconf is not installed"
    if system == "cargo":
        return _cargo_obstacle(folder)
    if system == "go":
        return _go_obstacle(folder)
    return ""


def _cargo_obstacle(folder):
    if os.path.isdir(os.path.join(folder, b"vendor")) and os.path.isdir(os.path.join(folder, b".cargo")):
        return ""
    lock = read_file(os.path.join(folder, b"Cargo.lock"), 4 << 20)
    if lock is not None:
        count = len(re.findall(rb'^source = "', lock, re.MULTILINE))
    else:
        text = (read_file(os.path.join(folder, b"Cargo.toml"), 1 << 20) or b"").decode("utf-8", "replace")
        count, inside = 0, False
        for line in text.splitlines():
            if line.startswith("["):
                inside = bool(re.match(r"\[(.*\.)?((dev|build)-)?dependencies(\.|\])", line))
                count += bool(re.match(r"\[(.*\.)?((dev|build)-)?dependencies\.", line))
            elif inside and re.match(r"\s*[\w-]+\s*=", line) and "path" not in line:
                count += 1
    return "it needs %d crates from a registry, and tasks run without a network" % count if count else ""


def _go_obstacle(folder):
    if os.path.isdir(os.path.join(folder, b"vendor")):
        return ""
    text = (read_file(os.path.join(folder, b"go.mod"), 1 << 20) or b"").decode("utf-8", "replace")
    block = "\n".join(re.findall(r"^require \((.*?)^\)", text, re.MULTILINE | re.DOTALL))
    count = len(re.findall(r"^\s+\S+ v\S+", block, re.MULTILINE)) + len(
        re.findall(r"^require \S+ v", text, re.MULTILINE)
    )
    return (
        "it needs %d Go modules that are not in a vendor folder, and tasks run without a network" % count
        if count
        else ""
    )


def npm_needs(folder):
    """How many packages `npm test` would need that are not in the repository; None when package.json is
    not readable.
    """
    package = read_json(os.path.join(folder, "package.json"))
    if not isinstance(package, dict):
        return None
    names = set()
    for key in ("dependencies", "devDependencies"):
        if isinstance(package.get(key), dict):
            names |= set(package[key])
    return len([n for n in names if not os.path.isdir(os.path.join(folder, "node_modules", n))])


def npm_test_script(folder):
    package = read_json(os.path.join(folder, "package.json"))
    script = (package.get("scripts") or {}).get("test") if isinstance(package, dict) else None
    if not isinstance(script, str) or "no test specified" in script:
        return ""
    return script
