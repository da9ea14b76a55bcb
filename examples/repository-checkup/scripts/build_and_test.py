"""Task `build-and-test`: builds and tests the repository with one build system and records what happened as
data.

The item is {system, folder}. The build happens in a copy in the task's scratch folder, so that the workspace
stays clean. All copied files get one time stamp: a checkout gives files arbitrary times, and make would then
try to regenerate what is already there. A failing build does not fail the task: it is a finding of the
checkup.

Status of a build: passed, failed (a step said no), timeout, unavailable (something that it needs is not on
this machine, which says nothing about the repository) or not_run.
"""

import os
import re
import shutil
import stat
import sys
import tempfile

from build_systems import npm_needs, npm_test_script
from common import Deadline, Task, clip, git, run_bounded, say, stays_inside, tracked_files
from languages import is_test, is_vendored

MAX_COPY_BYTES = 1 << 30
MAX_JOBS = 4
SYNTAX_FILES = 150

_UNAVAILABLE = re.compile(
    r"Could NOT find|Could not find a (package|configuration)|No package '.*' found|Package '.*', required by"
    r" .* not found"
    r"|(required|needed) (package|library|program|tool|header)s? .{0,60}not found|Dependency \S+ not"
    r" found|command not found|^(ba)?sh: (line )?(\d+: )?[\w.-]+: not found"
    r"|fatal error: \S+: No such file or directory|cannot find -l\S+|ModuleNotFoundError|No module"
    r" named|Cannot find module"
    r"|no matching package named|cannot find module providing package|Could not resolve host|Temporary"
    r" failure in name resolution"
    r"|network is unreachable|error: .{0,60} (not found|is missing)|is required to build|you need .{0,40}"
    r" installed"
    r"|proxyconnect|module lookup disabled|can't find crate for|C compiler cannot create|download of .*"
    r" failed"
    r"|configure: error: .*(not found|required|missing|need|cannot find|could not find)",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"(^|\W)(error|fatal|fail(ed|ure)?|cannot|could not|not found|undefined reference|no rule)(\W|$)",
    re.IGNORECASE,
)
_NOISE = re.compile(
    r"^\s*(at |make(\[\d+\])?: \*\*\*|ninja: build stopped|FAILED: |gmake|\d+ errors? generated)|\b0"
    r" (failures|errors|failed)"
    r"|(^|\s)(#|--) *(FAIL|ERROR|XFAIL|XPASS): *0|checking ",
    re.IGNORECASE,
)


def reason_of(tail):
    """The line of a command's output that tells best why it failed: the first that speaks of an error."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    for i in range(len(lines) - 1):  # CMake puts the place and the message on two lines
        if lines[i].startswith("CMake Error") and lines[i].endswith(":"):
            lines[i] += " " + lines[i + 1]
    for line in lines:
        if _UNAVAILABLE.search(line) and not _NOISE.search(line):
            return clip(line, 200)
    for line in lines:
        if _REASON.search(line) and not _NOISE.search(line):
            return clip(line, 200)
    return clip(lines[-1], 200) if lines else "it printed nothing"


def copy_tree(target):
    """Copies the tracked files of the workspace; returns an error text or ''. Links are copied as links."""
    total = 0
    for file in tracked_files():
        if file.mode == "160000" or not stays_inside(file.path):
            continue
        try:
            info = os.lstat(file.path)
        except OSError:
            continue
        total += info.st_size
        if total > MAX_COPY_BYTES:
            return "the repository is larger than %d MB, the limit for a build here" % (MAX_COPY_BYTES >> 20)
        destination = os.path.join(os.fsencode(target), file.path)
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(file.path), destination)
        elif stat.S_ISREG(info.st_mode):
            shutil.copyfile(file.path, destination, follow_symlinks=False)
            os.chmod(destination, 0o755 if info.st_mode & 0o100 else 0o644)
    then = int(git("log", "-1", "--format=%ct"))
    for folder, folders, names in os.walk(os.fsencode(target)):
        for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            os.utime(os.path.join(folder, name), (then, then), follow_symlinks=False)
    return ""


class Build:
    """One build: runs steps while they pass and the time lasts."""

    def __init__(self, root, scratch, seconds):
        self.root = root
        self.deadline = Deadline(seconds)
        self.steps = []
        self.tests = None
        self.status = "passed"
        self.reason = ""
        self.notes = []
        jobs = min(MAX_JOBS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
        self.jobs = str(max(1, jobs))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("EZ_")}
        for folder in ("tmp", "cache"):
            os.makedirs(os.path.join(scratch, folder), exist_ok=True)
        self.env.update(
            LC_ALL="C.UTF-8",
            CI="1",
            TMPDIR=os.path.join(scratch, "tmp"),
            GIT_TERMINAL_PROMPT="0",
            XDG_CACHE_HOME=os.path.join(scratch, "cache"),
            PYTHONDONTWRITEBYTECODE="1",
            CTEST_OUTPUT_ON_FAILURE="1",
            CTEST_PARALLEL_LEVEL=self.jobs,
            npm_config_offline="true",
            npm_config_update_notifier="false",
            CARGO_NET_OFFLINE="true",
            GOPROXY="off",
            GOFLAGS="-mod=mod",
            GOTOOLCHAIN="local",
            GOCACHE=os.path.join(scratch, "cache", "go"),
            GOPATH=os.path.join(scratch, "go"),
        )
        self.env.pop("MAKEFLAGS", None)

    def step(self, name, *command, share=1.0, required=True):
        """Runs one step with at most that share of the time left. Returns its outcome, or None after a
        failure.
        """
        if self.status != "passed":
            return None
        if self.deadline.passed():
            self.status, self.reason = "timeout", "no time was left for the step '%s'" % name
            return None
        say("\n$ %s" % " ".join(command))
        limit = max(1.0, self.deadline.left() * share)
        outcome = run_bounded(list(command), cwd=self.root, timeout=limit, env=self.env)
        self.steps.append(
            {
                "name": name,
                "command": clip(" ".join(command), 160),
                "seconds": outcome.seconds,
                "status": "timeout" if outcome.timed_out else "passed" if outcome.ok else "failed",
            }
        )
        if outcome.ok or not required:
            return outcome
        if outcome.timed_out:
            self.status = "timeout"
            self.reason = "%s did not end within %d s" % (name, round(limit))
        else:
            reason = reason_of(outcome.tail)
            self.reason = "%s: %s" % (name, reason)
            self.status = "unavailable" if _UNAVAILABLE.search(reason) else "failed"
        return outcome

    def not_run(self, why):
        self.status, self.reason = "not_run", why


def count_ctest(tail):
    match = re.search(r"(\d+)% tests passed, (\d+) tests failed out of (\d+)", tail)
    return {"run": int(match.group(3)), "failed": int(match.group(2))} if match else None


def count_automake(tail):
    """Sums the summaries of all folders; without one, the PASS:/FAIL: lines of a simple test driver."""
    total = sum(int(n) for n in re.findall(r"^# TOTAL: *(\d+)", tail, re.MULTILINE))
    failed = sum(int(n) for n in re.findall(r"^# (?:FAIL|ERROR): *(\d+)", tail, re.MULTILINE))
    if total:
        return {"run": total, "failed": failed}
    passed = len(re.findall(r"^(?:PASS|ok)\b", tail, re.MULTILINE))
    failed = len(re.findall(r"^(?:FAIL|not ok)\b", tail, re.MULTILINE))
    return {"run": passed + failed, "failed": failed} if passed + failed else None


def cmake(build):
    ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
    build.step(
        "configure",
        "cmake",
        "-S",
        ".",
        "-B",
        "ez-build",
        *ninja,
        "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
        share=0.3
    )
    build.step("build", "cmake", "--build", "ez-build", "--parallel", build.jobs, share=0.75)
    outcome = build.step(
        "test",
        "ctest",
        "--test-dir",
        "ez-build",
        "--parallel",
        build.jobs,
        "--timeout",
        "120",
        "--output-on-failure",
        "--no-tests=ignore",
    )
    build.tests = count_ctest(outcome.tail) if outcome else None


def meson(build):
    build.step("configure", "meson", "setup", "ez-build", "--wrap-mode=nodownload", share=0.3)
    build.step("build", "ninja", "-C", "ez-build", "-j", build.jobs, share=0.75)
    outcome = build.step(
        "test", "meson", "test", "-C", "ez-build", "--num-processes", build.jobs, "--print-errorlogs"
    )
    numbers = dict(re.findall(r"^(Ok|Fail|Timeout): *(\d+)", outcome.tail, re.MULTILINE)) if outcome else {}
    if numbers:
        failed = int(numbers.get("Fail", 0)) + int(numbers.get("Timeout", 0))
        build.tests = {"run": int(numbers.get("Ok", 0)) + failed, "failed": failed}


def autotools(build):
    if not os.path.exists(os.path.join(build.root, "configure")):
        build.step("autoreconf", "autoreconf", "-fi", share=0.3)
    build.step(
        "configure", "sh", "./configure", "--disable-dependency-tracking", "--disable-silent-rules", share=0.4
    )
    build.step("build", "make", "-j" + build.jobs, share=0.75)
    outcome = build.step("test", "make", "check")
    build.tests = count_automake(outcome.tail) if outcome else None


def make(build):
    if os.path.exists(os.path.join(build.root, "CMakeLists.txt")):
        build.step("dry run", "make", "-n")
        build.notes.append("only read with `make -n`: the build beside it is made by CMake")
        return
    build.step("dry run", "make", "-n", share=0.2)
    build.step("build", "make", "-j" + build.jobs, share=0.75)
    if build.status != "passed":
        return
    for target in ("check", "test"):
        rules = run_bounded(["make", "-n", target], cwd=build.root, timeout=20, env=build.env, echo=False)
        if rules.ok:
            outcome = build.step("test", "make", target)
            build.tests = count_automake(outcome.tail) if outcome else None
            return
    build.notes.append("the Makefile has neither a check nor a test target")


def npm(build):
    needs = npm_needs(build.root)
    script = npm_test_script(build.root)
    if needs is None:
        build.status, build.reason = "failed", "package.json is not a JSON object"
    elif not script:
        build.not_run("package.json has no test script")
    elif needs:
        build.not_run("npm test needs %d packages from a registry, and tasks run without a network" % needs)
    elif not shutil.which("npm"):
        build.not_run("npm is not installed on this machine")
    else:
        outcome = build.step("test", "npm", "test", "--silent")
        if outcome:
            # The TAP output of node --test, and what mocha and jest print.
            found = re.search(
                r"^# tests (\d+)(?:.|\n)*^# fail (\d+)", outcome.tail, re.MULTILINE
            ) or re.search(r"^ℹ tests (\d+)(?:.|\n)*^ℹ fail (\d+)", outcome.tail, re.MULTILINE)
            if found:
                build.tests = {"run": int(found.group(1)), "failed": int(found.group(2))}


def cargo(build):
    build.step("build", "cargo", "build", "--offline", "--all-targets", share=0.7)
    outcome = build.step("test", "cargo", "test", "--offline")
    results = (
        re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed", outcome.tail, re.MULTILINE)
        if outcome
        else []
    )
    if results:
        failed = sum(int(f) for _, f in results)
        build.tests = {"run": sum(int(p) for p, _ in results) + failed, "failed": failed}


def go(build):
    if os.path.isdir(os.path.join(build.root, "vendor")):
        build.env["GOFLAGS"] = "-mod=vendor"
    build.step("build", "go", "build", "./...", share=0.6)
    build.step("vet", "go", "vet", "./...", share=0.5)
    outcome = build.step("test", "go", "test", "./...")
    if outcome:
        passed = len(re.findall(r"^ok\s", outcome.tail, re.MULTILINE))
        failed = len(re.findall(r"^FAIL\s+\S+", outcome.tail, re.MULTILINE))
        build.tests = (
            {"run": passed + failed, "failed": failed, "unit": "packages"} if passed + failed else None
        )


def python(build):
    files = [f for f in tracked_files() if f.regular and f.path.endswith(b".py") and not is_vendored(f.path)]
    if not files:
        build.not_run("there is no Python file")
        return
    build.step(
        "compile",
        sys.executable,
        "-m",
        "compileall",
        "-q",
        "-x",
        r"/(\.git|vendor|third_party|node_modules)/",
        ".",
        share=0.4,
    )
    if not any(is_test(f.path) for f in files):
        build.notes.append("there are no test files")
        return
    build.env.pop("PYTHONDONTWRITEBYTECODE", None)
    source = os.path.join(build.root, "src")
    build.env["PYTHONPATH"] = os.pathsep.join([build.root, source] if os.path.isdir(source) else [build.root])
    probe = run_bounded(
        [sys.executable, "-c", "import pytest"], cwd=build.root, timeout=20, env=build.env, echo=False
    )
    if probe.ok:
        outcome = build.step(
            "test",
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--maxfail=20",
            "-p",
            "no:cacheprovider",
            "--color=no",
            required=False,
        )
        counts = (
            dict((k, int(n)) for n, k in re.findall(r"(\d+) (passed|failed|errors?)\b", outcome.tail))
            if outcome
            else {}
        )
    else:
        outcome, counts = _unittest(build, files)
    if outcome is None:
        return
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    build.tests = {"run": counts.get("passed", 0) + failed, "failed": failed} if counts else None
    if outcome.timed_out:
        build.status, build.reason = "timeout", "the tests did not end in the time allowed"
    elif outcome.exit_code == 5 or not counts:
        build.notes.append("no test was found that pytest or unittest can run")
    elif not outcome.ok:
        reason = reason_of(outcome.tail)
        build.status = "unavailable" if _UNAVAILABLE.search(reason) else "failed"
        build.reason = "test: " + reason


def _unittest(build, files):
    """unittest discovery in each folder that has test_*.py files (they need not be packages)."""
    folders = sorted(
        {os.path.dirname(f.path) for f in files if os.path.basename(f.path).startswith(b"test_")}
    )
    counts = {}
    last = None
    for folder in folders[:20]:
        where = os.path.join(build.root, os.fsdecode(folder)) if folder else build.root
        outcome = build.step(
            "test",
            sys.executable,
            "-m",
            "unittest",
            "discover",
            "-s",
            where,
            "-p",
            "test_*.py",
            required=False,
        )
        if outcome is None:
            break
        ran = re.findall(r"^Ran (\d+) tests?", outcome.tail, re.MULTILINE)
        bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", outcome.tail))
        if ran:
            counts["failed"] = counts.get("failed", 0) + bad
            counts["passed"] = counts.get("passed", 0) + max(0, int(ran[-1]) - bad)
        if last is None or not outcome.ok:
            last = outcome
    return last, counts


RECIPES = {
    "cmake": cmake,
    "meson": meson,
    "autotools": autotools,
    "make": make,
    "npm": npm,
    "cargo": cargo,
    "go": go,
    "python": python,
}


def build_and_test(system, folder, seconds, scratch):
    """Runs the recipe of one build system; returns its record."""
    tree = os.path.join(scratch, "tree")
    os.makedirs(tree)
    problem = copy_tree(tree)
    # Without a boundary of its own the copy would make git look for a repository further up.
    root = os.path.normpath(os.path.join(tree, folder))
    build = Build(root, scratch, seconds)
    build.env["GIT_CEILING_DIRECTORIES"] = scratch
    if problem:
        build.not_run(problem)
    else:
        RECIPES[system](build)
    if build.tests and build.tests["failed"] and build.status == "failed":
        build.reason = "%d of %d tests failed (%s)" % (
            build.tests["failed"],
            build.tests["run"],
            build.reason,
        )
    return {
        "system": system,
        "folder": folder,
        "status": build.status,
        "reason": build.reason,
        "steps": build.steps,
        "tests": build.tests,
        "notes": build.notes,
        "seconds": round(sum(s["seconds"] for s in build.steps), 1),
    }


def main():
    task = Task()
    item = task.item or {}
    system, folder = item.get("system"), item.get("folder", ".")
    if system not in RECIPES or folder.startswith("/") or ".." in folder.split("/"):
        raise SystemExit("build-and-test: the item names no build system of this checkup: %r" % (item,))
    minutes = task.input_int("build_minutes", 10, 1, 50)
    with (
        tempfile.TemporaryDirectory(
            prefix="build-", dir=os.environ.get("HOME") or None, ignore_cleanup_errors=True
        )
        if sys.version_info >= (3, 10)
        else tempfile.TemporaryDirectory(prefix="build-")
    ) as scratch:
        record = build_and_test(system, folder, minutes * 60.0, os.path.realpath(scratch))
    say(
        "\nbuild-and-test: %s in %s: %s%s"
        % (system, folder, record["status"], ": " + record["reason"] if record["reason"] else "")
    )
    task.finish(
        {k: record[k] for k in ("system", "folder", "status", "reason", "tests")}, {"build.json": record}
    )


if __name__ == "__main__":
    main()
