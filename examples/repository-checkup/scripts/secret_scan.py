"""Task `secret-scan`: secrets in tracked files and, bounded, in the history. Values are masked before they
leave.
"""

import hashlib
import re
import subprocess

from common import GIT, Deadline, Task, git_environment, read_file, say, show, stays_inside, tracked_files
from languages import is_binary, is_example, is_test, is_test_data, is_vendored
from secret_patterns import MAX_LINE_BYTES, QUICK, SECRET_FILES, masked, matches

READ_BYTES = 1 << 20
TREE_SECONDS = 180
HISTORY_SECONDS = 180
HISTORY_BYTES = 256 << 20
MAX_FINDINGS = 200


def confidence_at(path, confidence):
    """The same token in a test, an example or a vendored file is likely to be a sample."""
    if is_test(path) or is_test_data(path) or is_example(path) or is_vendored(path):
        return "low"
    return confidence


def finding(path, line, identity, what, confidence, value, commit=""):
    return {
        "file": show(path),
        "line": line,
        "id": identity,
        "what": what,
        "confidence": confidence_at(path, confidence),
        "value": masked(identity, value),
        "commit": commit,
    }


def scan_content(path, content):
    """Findings of one file, with the hash of each value so that the history can leave them out."""
    if not QUICK.search(content):
        return
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if QUICK.search(line):
            for identity, what, confidence, value in matches(
                line, lines[number] if number < len(lines) else b""
            ):
                yield finding(path, number, identity, what, confidence, value), digest(identity, value, path)


def digest(identity, value, path):
    """Names a value without keeping it; all private keys look alike in their first line, so their file
    counts too.
    """
    return hashlib.sha256(
        b"\0".join((identity.encode(), value, path if identity == "private-key" else b""))
    ).digest()


def scan_tree(deadline):
    findings, known, count, skipped = [], set(), 0, 0
    for file in tracked_files():
        if not file.regular or not stays_inside(file.path):
            continue
        if deadline.passed():
            skipped += 1
            continue
        content = read_file(file.path, READ_BYTES)
        if content is None:
            continue
        count += 1
        text = show(file.path)
        if SECRET_FILES.search(text) and content.strip():
            findings.append(
                {
                    "file": text,
                    "line": 0,
                    "id": "secret-file",
                    "what": "a file that usually holds secrets",
                    "confidence": confidence_at(file.path, "medium"),
                    "value": "",
                    "commit": "",
                }
            )
        if is_binary(content):
            continue
        for item, key in scan_content(file.path, content):
            known.add(key)
            findings.append(item)
    return findings, known, count, skipped


_FILE_LINE = re.compile(rb'^\+\+\+ (?:"?b/)(.*?)"?\t?\r?$')


def scan_history(commits, known, deadline):
    """Looks at the lines that the last commits added; a value that is still in the tree is not reported
    twice.
    """
    command = GIT + [
        "log",
        "-n",
        str(commits),
        "-p",
        "-U0",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--no-renames",
        "--diff-filter=AM",
        "--format=commit %H",
        "HEAD",
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git_environment(),
    )
    findings, seen_commits, size = [], 0, 0
    commit, path, pending, partial = "", b"", None, ""
    try:
        while True:
            line = process.stdout.readline(MAX_LINE_BYTES)
            if not line:
                break
            size += len(line)
            if size > HISTORY_BYTES or (size & 0x3FF) < len(line) and deadline.passed():
                partial = "stopped after %d commits (%d MB of changes)" % (seen_commits, size >> 20)
                break
            if pending is not None:
                _report(pending, line[1:], findings, known)
                pending = None
            if line.startswith(b"commit ") and len(line) == 48:
                commit = line[7:47].decode()
                seen_commits += 1
            elif line.startswith(b"+++ "):
                name = _FILE_LINE.match(line.rstrip(b"\n"))
                path = name.group(1) if name else b""
            elif line.startswith(b"+") and QUICK.search(line):
                pending = (commit, path, line[1:])
        if pending is not None:
            _report(pending, b"", findings, known)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return findings, seen_commits, partial


def _report(pending, following, findings, known):
    commit, path, line = pending
    for identity, what, confidence, value in matches(line.rstrip(b"\n"), following):
        key = digest(identity, value, path)
        if key not in known:
            known.add(key)
            findings.append(finding(path, 0, identity, what, confidence, value, commit[:12]))


def main():
    task = Task()
    commits = task.input_int("history_commits", 1000, 0, 100000)
    tree, known, files, skipped = scan_tree(Deadline(TREE_SECONDS))
    past, scanned, partial = (
        scan_history(commits, known, Deadline(HISTORY_SECONDS)) if commits else ([], 0, "")
    )
    order = ("high", "medium", "low")
    tree.sort(key=lambda f: (order.index(f["confidence"]), f["file"], f["line"], f["id"]))
    past.sort(key=lambda f: (order.index(f["confidence"]), f["file"], f["commit"], f["id"]))
    for item in (tree + past)[:50]:
        say(
            "%s%s:%d: %s (%s) %s"
            % (
                item["commit"] + " " if item["commit"] else "",
                item["file"],
                item["line"],
                item["what"],
                item["confidence"],
                item["value"],
            )
        )
    counts = {
        where: {c: sum(1 for f in found if f["confidence"] == c) for c in order}
        for where, found in (("tree", tree), ("history", past))
    }
    say(
        "secret-scan: files %d, commits %d: %d in the tree, %d only in the history"
        % (files, scanned, len(tree), len(past))
    )
    task.finish(
        {"counts": counts},
        {
            "secrets.json": {
                "tree": tree[:MAX_FINDINGS],
                "history": past[:MAX_FINDINGS],
                "counts": counts,
                "files": files,
                "commits": scanned,
                "skipped_files": skipped,
                "partial": partial,
            }
        },
    )


if __name__ == "__main__":
    main()
