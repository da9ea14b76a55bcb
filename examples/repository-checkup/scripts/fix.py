"""Task `fix`: removes trailing white space, adds missing last line ends and makes scripts executable, where
that is safe.

It writes into the workspace; the task's `verify` (verify_fix.py) then proves that nothing but white space and
modes changed, once here and again on the merged tree. At most max_fix_files files are changed, in the order
of their names.
"""

import os
import re

from common import Deadline, Task, git, read_file, say, show, stays_inside, tracked_files
from editorconfig import EditorConfig
from languages import is_binary, is_generated, is_test_data, is_vendored, language_of, shebang
from markdown import count
from whitespace_rules import FINAL_NEWLINE, fixed, same_but_whitespace, same_meaning, syntax_problem

MAX_BYTES = 1 << 20
SECONDS = 180
_NEVER = re.compile(
    r"\.(patch|diff|md|markdown|mdx|rst|txt|tex|texi|po|csv|tsv"
    r"|svg|in|tmpl|tpl|j2|erb|mustache|golden|snap|out|log)$"
    r"|(^|/)(debian/patches|patches)/",
    re.IGNORECASE,
)
# Named after what is run directly; a module with a shebang is run only when it has a main part.
_SCRIPT_EXTENSIONS = ("", ".sh", ".bash", ".pl", ".rb", ".py")


def attributes(paths):
    """Path → the set of reasons in .gitattributes to leave it alone."""
    names = [
        "binary",
        "text",
        "diff",
        "whitespace",
        "filter",
        "merge",
        "linguist-generated",
        "linguist-vendored",
    ]
    raw = (
        git("check-attr", "-z", "--stdin", *names, stdin=b"".join(path + b"\0" for path in paths))
        if paths
        else b""
    )
    fields = raw.split(b"\0")
    reasons = {}
    for path, name, value in zip(fields[0::3], fields[1::3], fields[2::3]):
        if (
            (name, value)
            in ((b"binary", b"set"), (b"text", b"unset"), (b"diff", b"unset"), (b"whitespace", b"unset"))
            or (name == b"filter" and value not in (b"unspecified", b"unset"))
            or (name == b"merge" and value == b"unset")
            or (name.startswith(b"linguist-") and value in (b"set", b"true"))
        ):
            reasons.setdefault(path, set()).add(name.decode())
    return reasons


def wants_executable(path, mode, content):
    """A tracked script with a shebang that is meant to be run and lacks the mode."""
    if mode != "100644" or not shebang(content):
        return False
    text = path.decode("utf-8", "replace")
    extension = os.path.splitext(text)[1]
    if (
        extension not in _SCRIPT_EXTENSIONS
        or text.startswith("debian/")
        or re.search(r"(^|/)(\.|completions?/|__init__)", text)
    ):
        return False
    if extension == ".py":
        return b"__main__" in content
    return True


def plan(deadline):
    """(path, new content or None, whether to make it executable) of every file that can be improved, in
    order.
    """
    files = [
        f
        for f in tracked_files()
        if f.regular
        and stays_inside(f.path)
        and not is_vendored(f.path)
        and not is_test_data(f.path)
        and not is_generated(f.path)
    ]
    left_alone = attributes([f.path for f in files])
    config = EditorConfig()
    for file in files:
        if deadline.passed():
            return
        text = file.path.decode("utf-8", "replace")
        if file.path in left_alone or _NEVER.search(text):
            continue
        content = read_file(file.path, MAX_BYTES + 1)
        if (
            content is None
            or len(content) > MAX_BYTES
            or is_binary(content)
            or is_generated(file.path, content)
        ):
            continue
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            continue
        language = language_of(file.path, content)
        wanted = config.properties(file.path)
        changed = None
        if language in FINAL_NEWLINE:
            result = fixed(
                content,
                language,
                wanted.get("trim_trailing_whitespace") != "false",
                wanted.get("insert_final_newline") != "false",
            )
            if result is not content and is_safe(file.path, language, content, result):
                changed = result
        executable = wants_executable(file.path, file.mode, content)
        if changed is not None or executable:
            yield file.path, content, changed, executable


def is_safe(path, language, old, new):
    """A file that did not parse before is left alone: then nothing can be proved about the change."""
    return (
        same_but_whitespace(old, new)
        and not syntax_problem(path, language, old)
        and not syntax_problem(path, language, new)
        and same_meaning(language, old, new)
    )


def apply(path, changed, executable):
    if changed is not None:
        flags = os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(path, flags), "wb") as file:
            file.write(changed)
    if executable:
        mode = os.lstat(path).st_mode
        os.chmod(path, (mode & 0o777) | ((mode & 0o444) >> 2))


def main():
    task = Task()
    limit = task.input_int("max_fix_files", 20, 0, 1000)
    done, waiting, lines_total = [], 0, 0
    for path, content, changed, executable in plan(Deadline(SECONDS)):
        if len(done) >= limit:
            waiting += 1
            continue
        lines = newline = 0
        if changed is not None:
            newline = int(not content.endswith(b"\n"))
            lines = sum(
                1
                for old, new in zip(content.split(b"\n"), changed.split(b"\n"))
                if old != new and old != new + b"\r"
            )
        apply(path, changed, executable)
        lines_total += lines
        done.append(
            {"file": show(path), "lines": lines, "final_newline": bool(newline), "executable": executable}
        )
    for entry in done:
        what = ["trailing white space in %s" % count(entry["lines"], "line")] if entry["lines"] else []
        what += ["last line end added"] if entry["final_newline"] else []
        what += ["made executable"] if entry["executable"] else []
        say("%s: %s" % (entry["file"], ", ".join(what)))
    if not done:
        say(
            "fix: nothing to fix, nothing changed"
            if not waiting
            else "fix: max_fix_files is 0, nothing changed"
        )
    else:
        say("fix: %d files changed, %d more could be" % (len(done), waiting))
    diff = (
        git("diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")[: 512 << 10].decode(
            "utf-8", "replace"
        )
        if done
        else ""
    )
    result = {"changed": done, "waiting": waiting, "limit": limit, "lines": lines_total}
    task.finish(
        {"changed": len(done), "lines": lines_total, "waiting": waiting},
        dict({"fix.json": result}, **({"fix.diff": diff} if diff else {})),
    )


if __name__ == "__main__":
    main()
