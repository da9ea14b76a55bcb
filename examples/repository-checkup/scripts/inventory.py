"""Task `inventory`: what the repository is made of. Its output decides what the later tasks look at."""

import os
import re
import shutil
from collections import Counter

from build_systems import detect
from common import Deadline, Task, clip, git, read_file, say, show, stays_inside, tracked_files
from languages import (
    PROGRAMMING,
    is_binary,
    is_generated,
    is_test,
    is_test_data,
    is_vendored,
    language_of,
    shebang,
)

MAX_READ_BYTES = 4 << 20  # of one file; a larger one is counted as large, not read for lines
COUNT_SECONDS = 180
LARGE_FILE_BYTES = 5 << 20
CI_FILES = re.compile(
    r"^(\.github/workflows/.+\.ya?ml|\.gitlab-ci\.yml|\.travis\.yml|\.circleci/config\.yml|Jenkinsfile"
    r"|azure-pipelines\.yml|\.drone\.yml|\.cirrus\.yml|\.woodpecker(\.yml|/.+)"
    r"|appveyor\.yml|debian/tests/control)$"
)


def survey(files, deadline):
    """Reads each tracked file once. Returns languages, special files and totals."""
    languages, totals, largest, scripts = {}, Counter(), [], []
    analysable = Counter()
    for file in files:
        totals["files"] += 1
        if not file.regular:
            totals["links" if file.mode == "120000" else "submodules"] += 1
            continue
        if not stays_inside(file.path):
            totals["unreadable"] += 1
            continue
        try:
            size = os.lstat(file.path).st_size
        except OSError:
            totals["unreadable"] += 1
            continue
        totals["bytes"] += size
        if size >= LARGE_FILE_BYTES:
            largest.append((size, show(file.path)))
        if deadline.passed():
            totals["not_counted"] += 1
            continue
        data = read_file(file.path, MAX_READ_BYTES)
        if data is None:
            totals["unreadable"] += 1
            continue
        if is_binary(data):
            totals["binary"] += 1
            continue
        lines = data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0)
        totals["lines"] += lines
        if is_vendored(file.path):
            totals["vendored"] += 1
            totals["vendored_lines"] += lines
            continue
        if is_generated(file.path, data):
            totals["generated"] += 1
            totals["generated_lines"] += lines
            continue
        language = language_of(file.path, data)
        if language is None:
            totals["other"] += 1
            continue
        entry = languages.setdefault(language, {"files": 0, "lines": 0, "test_lines": 0})
        entry["files"] += 1
        entry["lines"] += lines
        if is_test(file.path) or is_test_data(file.path):
            entry["test_lines"] += lines
        if language == "Shell":
            scripts.append(
                {"file": show(file.path), "lines": lines, "interpreter": (shebang(data) or ("",))[0]}
            )
        if not is_test_data(file.path):
            analysable[language] += 1
    if "C header" in languages:  # a header belongs to the language that the repository has more of
        header = languages.pop("C header")
        cpp = languages.get("C++", {"lines": 0})["lines"] > languages.get("C", {"lines": 0})["lines"]
        entry = languages.setdefault("C++" if cpp else "C", {"files": 0, "lines": 0, "test_lines": 0})
        for key, value in header.items():
            entry[key] += value
    table = [dict(v, language=k, code=k in PROGRAMMING) for k, v in languages.items()]
    table.sort(key=lambda e: (not e["code"], -e["lines"], e["language"]))
    largest.sort(reverse=True)
    return table, totals, largest[:10], scripts, analysable


ANALYZERS = [  # tool, languages, program that it needs, what it does
    ("cppcheck", ("C", "C++"), "cppcheck", "C and C++ defects"),
    ("shellcheck", ("Shell",), "shellcheck", "shell script defects"),
    ("python", ("Python",), "python3", "Python syntax and constructs that hide errors"),
    ("javascript", ("JavaScript",), "node", "JavaScript syntax"),
    ("go", ("Go",), "gofmt", "Go syntax and formatting"),
    ("data", ("JSON", "TOML"), "python3", "JSON and TOML syntax"),
]


def analyzers(analysable):
    """Those with files to look at, split by whether their program is here. `text` looks at every
    repository.
    """
    present, absent = [], []
    for tool, languages, program, what in ANALYZERS:
        count = sum(analysable[language] for language in languages)
        if count and shutil.which(program):
            present.append({"tool": tool, "files": count})
        elif count:
            absent.append(
                {
                    "tool": tool,
                    "files": count,
                    "what": what,
                    "why": "%s is not installed on this machine" % program,
                }
            )
    present.append({"tool": "text", "files": sum(analysable.values())})
    return present, absent


def history():
    """Commits, people and dates of the history that this clone has."""
    head = git("rev-parse", "HEAD").decode().strip()
    shallow = git("rev-parse", "--is-shallow-repository").strip() == b"true"
    commits = int(git("rev-list", "--count", "HEAD"))
    # -n bounds the work on a very long history; commits are counted exactly above.
    people = Counter(git("log", "-n", "20000", "--format=%aN").decode("utf-8", "replace").splitlines())
    last = git("log", "-1", "--format=%cI%x00%s").decode("utf-8", "replace").strip().split("\0")
    roots = git("rev-list", "--max-parents=0", "-n", "1", "HEAD").decode().split()
    first = git("log", "-1", "--format=%cI", roots[0]).decode().strip() if roots else ""
    tag = git("describe", "--tags", "--abbrev=0", "HEAD", check=False) or b""
    return {
        "head": head,
        "shallow": shallow,
        "commits": commits,
        "contributors": len(people),
        "first_commit": first,
        "last_commit": last[0],
        "last_subject": clip(last[1] if len(last) > 1 else "", 100),
        "top_contributors": [
            {"name": clip(show(n), 60), "commits": c}
            for n, c in sorted(people.items(), key=lambda p: (-p[1], p[0]))[:10]
        ],
        "latest_tag": show(tag.strip()),
    }


def landmarks(paths):
    """The files that people look for first."""
    top = {p.lower() for p in paths if "/" not in p}

    def has(pattern):
        return any(re.match(pattern, name) for name in top)

    return {
        "readme": has(r"readme(\.|$)"),
        "licence": has(r"(licen[cs]e|copying|unlicense)") or "debian/copyright" in paths,
        "contributing": has(r"(contributing|hacking)") or "docs/CONTRIBUTING.md" in paths,
        "changelog": has(r"(change|news|history|releases)") or "debian/changelog" in paths,
        "gitignore": ".gitignore" in paths,
        "editorconfig": ".editorconfig" in paths,
        "security": has(r"security(\.|$)") or ".github/SECURITY.md" in paths,
        "ci": sorted(p for p in paths if CI_FILES.match(p))[:10],
    }


def main():
    task = Task()
    files = tracked_files()
    say("inventory: %d tracked files" % len(files))
    table, totals, largest, scripts, analysable = survey(files, Deadline(COUNT_SECONDS))
    builds, builds_not_run = detect([f for f in files if f.regular])
    present, absent = analyzers(analysable)
    marks = landmarks({show(f.path) for f in files})
    tests = sum(1 for f in files if f.regular and is_test(f.path) and not is_vendored(f.path))
    story = history()
    result = {
        "languages": table,
        "totals": dict(totals),
        "largest": [{"file": f, "bytes": s} for s, f in largest],
        "shell_scripts": scripts[:200],
        "builds": builds,
        "builds_not_run": builds_not_run,
        "analyzers": present,
        "analyzers_not_run": absent,
        "landmarks": marks,
        "test_files": tests,
        "history": story,
    }
    for entry in table[:12]:
        say("  %-14s %6d files %9d lines" % (entry["language"], entry["files"], entry["lines"]))
    say(
        "inventory: %d commits by %d people; to build: %s"
        % (story["commits"], story["contributors"], ", ".join(b["system"] for b in builds) or "nothing")
    )
    task.finish(
        {
            "head": story["head"],
            "files": totals["files"],
            "lines": totals["lines"],
            "commits": story["commits"],
            "languages": [e["language"] for e in table if e["code"]][:20],
            "builds": builds,
            "analyzers": present,
            "text_files": sum(analysable.values()),
        },
        {"inventory.json": result},
    )


if __name__ == "__main__":
    main()
