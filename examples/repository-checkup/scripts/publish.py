"""Task `publish`: after a person has approved, prepares what is handed over.

Writes an entry into CHANGELOG.md when the repository keeps one with an Unreleased part (keepachangelog.com)
and files were fixed, and leaves two artifacts: merge-request.md (a description with the commands to take the
branch over) and checkup.patch (everything that the run changed, for those who do not want the branch).
"""

import os
import re

from common import Task, clip, git, read_file, say
from markdown import code, count, plain

MAX_PATCH_BYTES = 4 << 20
CHANGELOG = "CHANGELOG.md"
_UNRELEASED = re.compile(r"^## *\[?unreleased\]?.*$", re.IGNORECASE | re.MULTILINE)


def with_entry(text, entry):
    """The changelog with the entry under Unreleased, part Changed; None when there is no such part or it
    is there.
    """
    heading = _UNRELEASED.search(text)
    if not heading or entry in text:
        return None
    following = re.search(r"^## ", text[heading.end() :], re.MULTILINE)
    end = heading.end() + following.start() if following else len(text)
    part = text[heading.end() : end]
    changed = re.search(r"^### *Changed *\n+", part, re.MULTILINE)
    if changed:
        part = part[: changed.end()] + "- " + entry + "\n" + part[changed.end() :]
    else:
        part = part.rstrip("\n") + "\n\n### Changed\n\n- " + entry + "\n" + ("\n" if following else "")
    return text[: heading.end()] + part + text[end:]


def write_changelog(fixed):
    if not fixed or os.path.islink(CHANGELOG):
        return False
    content = read_file(CHANGELOG, 8 << 20)
    if content is None or b"\r\n" in content:
        return False
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    new = with_entry(
        text,
        "White space at line ends, last line ends and execute permissions of %s tidied."
        % count(fixed, "file"),
    )
    if new is None:
        return False
    with open(CHANGELOG, "w", encoding="utf-8", newline="") as file:
        file.write(new)
    return True


def request(branch, report, summary, fix, logged):
    """The text of a merge request."""
    lines = [
        "# Repository checkup: overall %s"
        % ("%.1f of 10" % summary["overall"] if summary["overall"] is not None else "not rated"),
        "",
    ]
    lines += [
        "- %s: %s, %s"
        % (
            e["subject"],
            "%d / 10" % e["figure"] if e["figure"] is not None else "not rated",
            plain(e["reason"]),
        )
        for e in summary["score"]
    ]
    lines += ["", "## What this branch changes", "", "- adds %s" % code(report)]
    if fix and fix["changed"]:
        lines.append(
            "- tidies %s (white space and modes only, verified)" % count(len(fix["changed"]), "file")
        )
    if logged:
        lines.append("- notes that in %s" % code(CHANGELOG))
    lines += ["", "## What to do first", ""] + [
        "%d. %s" % (i, step) for i, step in enumerate(summary["steps"], 1)
    ]
    lines += [
        "",
        "## Taking it over",
        "",
        "```sh",
        "git merge --no-ff %s" % branch,
        "# or, without the branch:",
        "git apply --index checkup.patch",
        "```",
    ]
    return "\n".join(lines) + "\n"


def main():
    task = Task()
    inventory = task.result("inventory", "inventory.json")
    summary = task.result("report", "report.json")
    if not inventory or not summary:
        raise SystemExit("publish: the results of the inventory and of the report are needed")
    fix = task.result("fix", "fix.json") if task.state("fix") in ("", "succeeded") else None
    logged = write_changelog(len(fix["changed"]) if fix else 0)
    patch = git(
        "diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", inventory["history"]["head"]
    )
    branch = os.environ.get("CHECKUP_BRANCH", "")
    report = os.environ.get("CHECKUP_REPORT", "REPORT.md")
    artifacts = {"merge-request.md": request(branch, report, summary, fix, logged)}
    if len(patch) <= MAX_PATCH_BYTES:
        try:
            artifacts["checkup.patch"] = patch.decode("utf-8")
        except UnicodeDecodeError:
            say("publish: the change is not valid UTF-8, so there is no patch; the branch has it")
    say(
        "publish: %s holds the report and the fix; changelog %s"
        % (branch, "updated" if logged else "left as it is")
    )
    task.finish({"branch": clip(branch, 200), "changelog": logged, "patch_bytes": len(patch)}, artifacts)


if __name__ == "__main__":
    main()
