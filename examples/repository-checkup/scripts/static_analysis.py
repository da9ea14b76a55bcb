"""Task `static-analysis`: one analyzer over the files of its languages; findings as {file, line, severity,
id, message}.

The item is {tool}. Vendored files, generated files and test data are left out. Both the files and the time
are bounded, and the result says how many files were looked at. What an analyzer cannot parse is its own
limit, not a defect of the repository, and is counted apart.
"""

import json
import os
import re
import subprocess
import tempfile
import warnings
import xml.etree.ElementTree as ElementTree

import tomllib_compat
from common import (
    SEVERITIES,
    Deadline,
    Task,
    clip,
    git_environment,
    read_file,
    say,
    show,
    stays_inside,
    tracked_files,
)
from languages import is_binary, is_generated, is_test, is_test_data, is_vendored, language_of, shebang

MAX_FILES = 4000
MAX_FINDINGS = 300  # kept in full; all are counted
SECONDS = 480
READ_BYTES = 2 << 20
LARGE_FILE_BYTES = 5 << 20
MAX_JOBS = "2"


class Findings:
    """Collects findings; `limits` are files that the tool itself could not handle."""

    def __init__(self):
        self.items = []
        self.limits = []
        self.counts = {severity: 0 for severity in SEVERITIES}
        self.counts_outside_tests = dict(self.counts)
        self.files = 0
        self.lines = 0
        self.lines_outside_tests = 0
        self.partial = ""

    def add(self, path, line, severity, identity, message):
        self.counts[severity] += 1
        self.counts_outside_tests[severity] += not is_test(path)
        self.items.append(
            {
                "file": show(path),
                "line": int(line or 0),
                "severity": severity,
                "id": identity,
                "message": clip(message, 240),
                "test": is_test(path),
            }
        )

    def looked_at(self, path, content):
        lines = content.count(b"\n")
        self.files += 1
        self.lines += lines
        self.lines_outside_tests += 0 if is_test(path) else lines

    def result(self, tool):
        self.items.sort(
            key=lambda f: (
                SEVERITIES.index(f["severity"]),
                f["test"],
                f["file"],
                f["line"],
                f["id"],
                f["message"],
            )
        )
        kinds = {}
        for item in self.items:
            kind = kinds.setdefault(
                item["id"],
                {"id": item["id"], "severity": item["severity"], "count": 0, "example": item["message"]},
            )
            kind["count"] += 1
        top = sorted(kinds.values(), key=lambda k: (SEVERITIES.index(k["severity"]), -k["count"], k["id"]))
        return {
            "tool": tool,
            "files": self.files,
            "lines": self.lines,
            "counts": self.counts,
            "counts_outside_tests": self.counts_outside_tests,
            "lines_outside_tests": self.lines_outside_tests,
            "kinds": top[:30],
            "findings": self.items[:MAX_FINDINGS],
            "limits": self.limits[:20],
            "limit_count": len(self.limits),
            "partial": self.partial,
        }


def candidates(languages, findings, any_language=False):
    """(path, content) of the tracked text files of these languages, own code only, at most MAX_FILES."""
    count = 0
    for file in tracked_files():
        if (
            not file.regular
            or is_vendored(file.path)
            or is_test_data(file.path)
            or not stays_inside(file.path)
        ):
            continue
        if not any_language and not _may_be(file.path, languages):
            continue
        content = read_file(file.path, READ_BYTES)
        if content is None or is_binary(content) or is_generated(file.path, content):
            continue
        if not any_language and language_of(file.path, content) not in languages:
            continue
        count += 1
        if count > MAX_FILES:
            findings.partial = "only the first %d files" % MAX_FILES
            return
        yield file.path, content


def _may_be(path, languages):
    """False when the name alone rules the languages out, which saves reading the file."""
    by_name = language_of(path)
    return by_name in languages or by_name is None


def batches(paths, size):
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


def run_tool(command, timeout):
    """(exit code, stdout, stderr) or None on a timeout. The tools' output is bounded by the batch."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=git_environment(),
            timeout=max(1.0, timeout),
            check=False,
        )
        return done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        return None


def safe_argument(path):
    """A path that no tool takes for an option."""
    return b"./" + path


CPPCHECK_LIMITS = {
    "syntaxError",
    "unknownMacro",
    "internalAstError",
    "internalError",
    "cppcheckError",
    "preprocessorErrorDirective",
    "noValidConfiguration",
    "instantiationError",
    "unhandledChar",
    "toomanyconfigs",
    "checkersReport",
}
CPPCHECK_QUIET = {
    "missingInclude",
    "missingIncludeSystem",
    "unmatchedSuppression",
    "normalCheckLevelMaxBranches",
    "checkLevelNormal",
}


def cppcheck(findings, deadline):
    sources = []
    for path, content in candidates(("C", "C++"), findings):
        if b"\n" in path:
            findings.limits.append(
                {"file": show(path), "why": "cppcheck cannot take a file name with a line break"}
            )
            continue
        sources.append((path, content))
    seen = set()
    for batch in batches(sources, 20):
        if deadline.passed():
            findings.partial = "%d of %d files, then the time was over" % (findings.files, len(sources))
            return
        with tempfile.NamedTemporaryFile(prefix="cppcheck-", dir=os.environ.get("HOME") or None) as listing:
            listing.write(b"\n".join(path for path, _ in batch) + b"\n")
            listing.flush()
            done = run_tool(
                [
                    "cppcheck",
                    "--enable=warning,portability,performance",
                    "--inline-suppr",
                    "--quiet",
                    "--xml",
                    "--xml-version=2",
                    "--max-configs=6",
                    "-j",
                    MAX_JOBS,
                    "--file-list=" + listing.name,
                ],
                min(deadline.left(), 240),
            )
        if done is None:
            findings.limits += [
                {"file": show(path), "why": "cppcheck did not end in time on its batch"} for path, _ in batch
            ]
            continue
        for path, content in batch:
            findings.looked_at(path, content)
        _cppcheck_xml(done[2], findings, seen)


def _cppcheck_xml(text, findings, seen):
    start = text.find(b"<?xml")
    try:
        root = ElementTree.fromstring(text[start:]) if start >= 0 else None
    except ElementTree.ParseError:
        root = None
    if root is None:
        return
    for error in root.iter("error"):
        identity = error.get("id", "")
        place = error.find("location")
        if identity in CPPCHECK_QUIET or place is None:
            continue
        path, line = os.fsencode(place.get("file", "")), int(place.get("line") or 0)
        if (path, line, identity) in seen or is_vendored(path) or path.startswith(b"/"):
            continue
        seen.add((path, line, identity))
        if identity in CPPCHECK_LIMITS:
            findings.limits.append({"file": show(path), "why": clip(error.get("msg", ""), 160)})
            continue
        severity = {"error": "error", "warning": "warning"}.get(error.get("severity"), "info")
        if is_generated(path, read_file(path, 600) or b""):
            continue
        findings.add(path, line, severity, identity, error.get("msg", ""))


def shellcheck(findings, deadline):
    scripts = list(candidates(("Shell",), findings))
    for batch in batches(scripts, 40):
        if deadline.passed():
            findings.partial = "%d of %d files, then the time was over" % (findings.files, len(scripts))
            return
        known = []
        for path, content in batch:
            name = (shebang(content) or ("",))[0]
            if name in ("zsh", "tcsh", "csh", "fish") or path.endswith(b".zsh"):
                findings.limits.append({"file": show(path), "why": "shellcheck does not know zsh"})
            else:
                known.append(path)
                findings.looked_at(path, content)
        if not known:
            continue
        # SC1090, SC1091: it cannot follow a sourced file, which is not a defect.
        done = run_tool(
            [b"shellcheck", b"--norc", b"--format=json1", b"--exclude=SC1090,SC1091"]
            + [safe_argument(p) for p in known],
            deadline.left(),
        )
        try:
            comments = json.loads(done[1]).get("comments", []) if done else []
        except ValueError:
            comments = []
        for comment in comments:
            path = os.fsencode(comment.get("file", ""))[2:]
            severity = {"error": "error", "warning": "warning"}.get(comment.get("level"), "info")
            if comment.get("code") in (2148, 2239):  # no or a relative shebang: a sourced file or a fragment
                severity = "info"
            findings.add(
                path, comment.get("line"), severity, "SC%s" % comment.get("code"), comment.get("message", "")
            )


_BARE_EXCEPT = re.compile(rb"^\s*except\s*:\s*(#.*)?$")
_MUTABLE_DEFAULT = re.compile(
    rb"^\s*(async\s+)?def\s+\w+\(.*=\s*(\[\]|\{\}|set\(\)|list\(\)|dict\(\))\s*[,)]"
)


def python(findings, deadline):
    """Compiles each file in memory (nothing of it runs) and looks for two constructs that are nearly
    always mistakes.
    """
    for path, content in candidates(("Python",), findings):
        if deadline.passed():
            findings.partial = "%d files, then the time was over" % findings.files
            return
        findings.looked_at(path, content)
        if path.endswith((b".pyx", b".pyi")):
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                compile(content, show(path), "exec", dont_inherit=True)
            except SyntaxError as error:
                if "print" in str(error) or "exec" in str(error) or "leading zeros" in str(error):
                    findings.limits.append({"file": show(path), "why": "it is Python 2"})
                else:
                    findings.add(path, error.lineno, "error", "syntax", str(error.msg))
                continue
            except (ValueError, RecursionError, MemoryError) as error:
                findings.limits.append({"file": show(path), "why": clip(error, 120)})
                continue
        for warning in caught:
            if issubclass(warning.category, (SyntaxWarning, DeprecationWarning)):
                findings.add(path, warning.lineno, "warning", "syntax-warning", str(warning.message))
        for number, line in enumerate(content.split(b"\n"), 1):
            if b"except" in line and _BARE_EXCEPT.match(line):
                findings.add(
                    path,
                    number,
                    "info",
                    "bare-except",
                    "a bare except also catches KeyboardInterrupt and SystemExit",
                )
            elif b"def " in line and _MUTABLE_DEFAULT.match(line):
                findings.add(
                    path,
                    number,
                    "warning",
                    "mutable-default",
                    "a mutable default value is shared by all calls",
                )


_MODULE_ONLY = re.compile(
    rb"^\s*(import\s+[\w{*'\"]|import\s*['\"]|export\s+[\w{*]|await\s)|\bimport\.meta\b", re.MULTILINE
)
_NOT_PLAIN_JS = re.compile(rb"@flow|<[A-Z][A-Za-z.]*[\s/>]|^\s*import\s+type\s|</\w+>\s*[;)]", re.MULTILINE)
# Compiles many programs, runs none. Input: [[kind, text]…]; output: [[line, message] or null…].
_CHECK_JAVASCRIPT = """
const vm = require("vm");
const programs = JSON.parse(require("fs").readFileSync(0, "utf8"));
const scope = ["exports", "require", "module", "__filename", "__dirname"];
console.log(JSON.stringify(programs.map(([kind, text]) => {
  try {
    const source = text.replace(/^#!.*/, "");
    if (kind === "module") new vm.SourceTextModule(source, {identifier: "checked"});
    else vm.compileFunction(source, scope, {filename: "checked"});
    return null;
  } catch (error) {
    const place = /^checked:(\\d+)/.exec(String(error.stack));
    return [place ? Number(place[1]) : 0, String(error)];
  }
})));
"""


def javascript(findings, deadline):
    programs = []
    for path, content in candidates(("JavaScript",), findings):
        if path.endswith(b".jsx") or _NOT_PLAIN_JS.search(content):
            findings.limits.append(
                {"file": show(path), "why": "it looks like JSX or Flow, which node does not parse"}
            )
            continue
        module = path.endswith(b".mjs") or (not path.endswith(b".cjs") and _MODULE_ONLY.search(content))
        programs.append((path, "module" if module else "commonjs", content))
    for batch in batches(programs, 100):
        if deadline.passed():
            findings.partial = "%d of %d files, then the time was over" % (findings.files, len(programs))
            return
        text = json.dumps([(kind, content.decode("utf-8", "replace")) for _, kind, content in batch])
        answers = _node(text, min(60.0, deadline.left()))
        if answers is None:
            findings.limits += [{"file": show(p), "why": "node failed on its batch"} for p, _, _ in batch]
            continue
        for (path, _, content), answer in zip(batch, answers):
            findings.looked_at(path, content)
            if answer:
                findings.add(path, answer[0], "error", "syntax", answer[1])


def _node(text, timeout):
    command = ["node", "--no-warnings", "--experimental-vm-modules", "-e", _CHECK_JAVASCRIPT]
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=git_environment(),
            timeout=max(1.0, timeout),
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        return None


def go(findings, deadline):
    for batch in batches(list(candidates(("Go",), findings)), 100):
        for path, content in batch:
            findings.looked_at(path, content)
        done = run_tool(
            [b"gofmt", b"-l", b"-e"] + [safe_argument(path) for path, _ in batch], deadline.left()
        )
        if done is None:
            findings.partial = "gofmt did not end in time"
            return
        for line in done[2].decode("utf-8", "replace").splitlines():
            match = re.match(r"^(?:\./)?(.*?):(\d+):\d+: (.*)$", line)
            if match:
                findings.add(match.group(1), match.group(2), "error", "syntax", match.group(3))
        for line in done[1].decode("utf-8", "replace").splitlines():
            findings.add(line, 0, "info", "gofmt", "not formatted with gofmt")


_WITH_COMMENTS = re.compile(
    r"(^|/)(tsconfig[^/]*|jsconfig[^/]*|\.eslintrc|\.babelrc|devcontainer|\.swcrc|api-extractor)(\.json)?$"
    r"|(^|/)\.vscode/|\.(jsonc|json5|code-workspace)$"
)


def data(findings, deadline):
    for path, content in candidates(("JSON", "TOML"), findings):
        if deadline.passed():
            findings.partial = "%d files, then the time was over" % findings.files
            return
        name = show(path)
        if _WITH_COMMENTS.search(name) or len(content) >= READ_BYTES:
            continue
        findings.looked_at(path, content)
        try:
            text = content.decode("utf-8-sig")
            if name.endswith(".toml"):
                tomllib_compat.loads(text)
            elif text.strip() and not name.endswith((".ndjson", ".jsonl")):
                json.loads(text)
        except tomllib_compat.Unavailable:
            findings.limits.append({"file": name, "why": "this Python has no TOML parser"})
        except UnicodeDecodeError:
            findings.add(path, 0, "warning", "encoding", "the file is not valid UTF-8")
        except RecursionError:
            findings.limits.append({"file": name, "why": "it is nested too deeply"})
        except ValueError as error:
            if str(error).startswith("Extra data"):
                findings.limits.append({"file": name, "why": "it holds more than one JSON value"})
            else:  # tests often hold broken documents on purpose
                findings.add(
                    path,
                    getattr(error, "lineno", 0),
                    "info" if is_test(path) else "error",
                    "syntax",
                    str(error),
                )


_CONFLICT_START = re.compile(rb"^<{7} \S", re.MULTILINE)
_CONFLICT_END = re.compile(rb"^>{7} \S", re.MULTILINE)


def text(findings, deadline):
    """What is wrong in any kind of text file, and what is wrong with names and links."""
    files = tracked_files()
    folded = {}
    for file in files:
        other = folded.setdefault(file.path.lower(), file.path)
        if other != file.path:
            findings.add(
                file.path, 0, "warning", "case-collision", "differs only in case from %s" % show(other)
            )
        if (
            file.mode == "120000"
            and stays_inside(file.path)
            and not is_test_data(file.path)
            and not is_test(file.path)
        ):
            if os.path.islink(file.path) and not os.path.exists(file.path):
                findings.add(
                    file.path,
                    0,
                    "warning",
                    "broken-link",
                    "the link leads to nothing: %s" % show(os.readlink(file.path)),
                )
        elif (
            file.regular
            and stays_inside(file.path)
            and os.path.exists(file.path)
            and os.path.getsize(file.path) >= LARGE_FILE_BYTES
        ):
            findings.add(
                file.path, 0, "info", "large-file", "%.1f MB in git" % (os.path.getsize(file.path) / 1e6)
            )
    trailing = missing = 0
    for path, content in candidates((), findings, any_language=True):
        if deadline.passed():
            findings.partial = "%d files, then the time was over" % findings.files
            break
        findings.looked_at(path, content)
        start = _CONFLICT_START.search(content)
        if start and _CONFLICT_END.search(content) and b"\n=======\n" in content.replace(b"\r", b""):
            findings.add(
                path,
                content.count(b"\n", 0, start.start()) + 1,
                "error",
                "conflict-marker",
                "the marks of a merge conflict are in the file",
            )
        returns = content.count(b"\r\n")
        if returns and returns != content.count(b"\n"):
            findings.add(
                path,
                0,
                "info",
                "mixed-line-ends",
                "%d of %d lines end with CR LF" % (returns, content.count(b"\n")),
            )
        try:
            content[:65536].decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < 65530 and language_of(path, content):
                findings.add(
                    path,
                    content.count(b"\n", 0, error.start) + 1,
                    "info",
                    "not-utf-8",
                    "the text is not valid UTF-8",
                )
        trailing += (
            len(re.findall(rb"[ \t]+\r?$", content, re.MULTILINE))
            if not path.endswith((b".md", b".patch", b".diff"))
            else 0
        )
        missing += bool(content) and not content.endswith(b"\n")
    return {"trailing_whitespace_lines": trailing, "files_without_final_newline": missing}


ANALYZERS = {
    "cppcheck": cppcheck,
    "shellcheck": shellcheck,
    "python": python,
    "javascript": javascript,
    "go": go,
    "data": data,
    "text": text,
}


def analyze(tool, seconds=SECONDS):
    findings = Findings()
    extra = ANALYZERS[tool](findings, Deadline(seconds))
    return dict(findings.result(tool), **({"extra": extra} if extra else {}))


def main():
    task = Task()
    tool = (task.item or {}).get("tool")
    if tool not in ANALYZERS:
        raise SystemExit("static-analysis: unknown analyzer %r" % (tool,))
    result = analyze(tool)
    for finding in result["findings"][:50]:
        say(
            "%s:%d: %s: %s [%s]"
            % (finding["file"], finding["line"], finding["severity"], finding["message"], finding["id"])
        )
    say(
        "static-analysis: %s looked at %d files: %s%s"
        % (
            tool,
            result["files"],
            ", ".join("%d %s" % (result["counts"][s], s) for s in SEVERITIES),
            " (%s)" % result["partial"] if result["partial"] else "",
        )
    )
    task.finish(
        {"tool": tool, "files": result["files"], "counts": result["counts"]}, {"analysis.json": result}
    )


if __name__ == "__main__":
    main()
