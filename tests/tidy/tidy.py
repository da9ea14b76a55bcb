#!/usr/bin/env python3
"""The rules of the house as a program. `tests/tidy/tidy.py [ROOT]` prints `file:line: rule: what` for every breach and
exits with 1 when there is one, 0 otherwise. Rules look at the files that git tracks (or would track), nothing else.

Each rule is a function of a Tree that yields Findings; RULES lists them all. Exceptions are in the tables at the top,
each with its reason. Standard library only.
"""
import os
import posixpath
import re
import subprocess
import sys
from typing import Iterator, NamedTuple

MAX_FILE_LINES = 600
MAX_LINE_LENGTH = 110
CODE = (".cc", ".h")

# Headers that make every including file slow to compile: only in .cc files.
HEAVY = re.compile(
    r"boost/(beast|asio|json)|google/protobuf|\.pb\.h|yaml-cpp|sqlite3\.h|spdlog|fmt/|re2/|librdkafka|openssl/|curl/")
# Header -> why it may include a heavy header all the same.
COMMANDS = "the commands of the log are the words of this interface (docs/adr/0002-commands-are-protobuf.md)"
HEAVY_ALLOWED: dict[str, str] = {
    "src/core/apply.h": COMMANDS,
    "src/core/commands/command.h": COMMANDS,
    "src/core/run_codec.h": COMMANDS,
    "src/engine/import.h": COMMANDS,
    "src/engine/kernel.h": COMMANDS,
    "src/engine/resume.h": COMMANDS,
    "src/http/api/context.h": COMMANDS,
}

# Files in which a rule about words does not hold, because they name the words themselves.
WORDS_ALLOWED = {
    "tests/tidy/tidy.py": "the list of words",
    "tests/tidy/tidy_test.py": "breaks every rule on purpose",
}
FORBIDDEN = [
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), None, "unfinished work belongs into an issue"),
    (re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\s*\("), "test", "a test waits for an event, not for time"),
    (re.compile(r"\btime\.sleep\s*\("), "test", "a test waits for an event, not for time"),
    (re.compile(r"GTEST_SKIP\s*\(\s*\)\s*(;|<<\s*(\"\"|;|$))"), None, "a skipped test says why"),
    (re.compile(r"\b(EXPECT|ASSERT)_(TRUE\s*\(\s*true\s*\)|FALSE\s*\(\s*false\s*\))"), None,
     "an assertion that cannot fail"),
]
# Folders of one machine have no place in the repository. A path inside a URL or a longer path is something else.
# /home/ez is the home folder inside the sandbox, the same everywhere.
MACHINE_PATH = re.compile(r"(?<![\w.$}~/-])/(work|home|root|Users)/(?!ez\b)[\w.-]+")

BINARY = {".png", ".ico", ".woff2", ".gz", ".zst", ".db", ".bin", ".pdf"}


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


class Tree:
    """The tracked text files of a repository, by path with forward slashes."""

    def __init__(self, root: str):
        self.root = root
        listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                check=True, capture_output=True).stdout.decode()
        self.paths = sorted({path for path in listed.split("\0") if path and os.path.isfile(os.path.join(root, path))})
        self.files: dict[str, str] = {}
        for path in self.paths:
            if os.path.splitext(path)[1] in BINARY or path.startswith("tests/golden/"):
                continue
            with open(os.path.join(root, path), "rb") as file:
                data = file.read()
            if b"\0" not in data[:8000]:
                self.files[path] = data.decode("utf-8", "replace")

    def code(self) -> Iterator[tuple[str, str]]:
        return ((path, text) for path, text in self.files.items() if path.endswith(CODE))


def lines(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.splitlines(), 1)


def is_test(path: str) -> bool:
    return path.startswith("tests/") or re.search(r"_test\.(cc|py|ts)$", path) is not None


def rule_sizes(tree: Tree) -> Iterator[Finding]:
    """No source file over 600 lines, no line of C++ over 110 characters."""
    for path, text in tree.files.items():
        count = text.count("\n")
        if path.endswith((".cc", ".h", ".py", ".ts", ".tsx", ".def", ".proto", ".cmake")) and count > MAX_FILE_LINES:
            yield Finding(path, count, "file-size", f"{count} lines, at most {MAX_FILE_LINES}: split it")
    for path, text in tree.code():
        for number, line in lines(text):
            if len(line) > MAX_LINE_LENGTH:
                yield Finding(path, number, "line-length", f"{len(line)} characters, at most {MAX_LINE_LENGTH}")


def rule_words(tree: Tree) -> Iterator[Finding]:
    for path, text in tree.files.items():
        if path in WORDS_ALLOWED:
            continue
        for pattern, where, why in FORBIDDEN:
            if where == "test" and not is_test(path):
                continue
            for number, line in lines(text):
                found = pattern.search(line)
                if found:
                    yield Finding(path, number, "word", f"`{found.group(0).strip()}`: {why}")


def rule_machine_paths(tree: Tree) -> Iterator[Finding]:
    for path, text in tree.files.items():
        if path in WORDS_ALLOWED:
            continue
        for number, line in lines(text):
            found = MACHINE_PATH.search(line)
            if found:
                yield Finding(path, number, "machine-path", f"`{found.group(0)}` exists on one machine only")


def rule_errors(tree: Tree) -> Iterator[Finding]:
    """Every code of the catalogue has an operator page, and every page a code."""
    catalog = "src/base/error_catalog.def"
    codes: dict[str, int] = {}
    ids: dict[str, int] = {}
    for number, line in lines(tree.files.get(catalog, "")):
        found = re.match(r'EZ_ERROR\((\w+), "([A-Z0-9_]+)"', line)
        if found:
            for seen, key in ((ids, found.group(1)), (codes, found.group(2))):
                if key in seen:
                    yield Finding(catalog, number, "errors", f"{key} is there twice")
                seen[key] = number
    pages = {posixpath.basename(path)[:-3]: path for path in tree.files
             if re.fullmatch(r"docs/errors/[A-Z0-9_]+\.md", path)}
    for name, number in codes.items():
        if name not in pages:
            yield Finding(catalog, number, "errors", f"{name} has no page docs/errors/{name}.md")
        elif name not in tree.files[pages[name]].splitlines()[0]:
            yield Finding(pages[name], 1, "errors", f"the first line does not name {name}")
    for name, path in pages.items():
        if name not in codes:
            yield Finding(path, 1, "errors", f"no code {name} in {catalog}")


class Module(NamedTuple):
    path: str
    tier: int
    deps: frozenset


def modules(tree: Tree) -> dict[str, Module]:
    """What the ez_module() calls declare."""
    found = {}
    for path, text in tree.files.items():
        if not re.fullmatch(r"src/\w+/CMakeLists\.txt", path):
            continue
        call = re.search(r"ez_module\(\s*(\w+)\s+TIER\s+(\d+)([^)]*)\)", re.sub(r"#.*", "", text))
        if call:
            deps = re.search(r"\bDEPS\b([\w\s]*?)(?=\b(?:LIBS|PROTO)\b|$)", call.group(3))
            found[call.group(1)] = Module(path, int(call.group(2)), frozenset(deps.group(1).split() if deps else ()))
    return found


def diagram(text: str) -> tuple[set, dict[str, int], int]:
    """Edges, tiers and the first line of the mermaid graph of docs/ARCHITECTURE.md."""
    edges, tiers, start, tier, inside = set(), {}, 0, None, False
    for number, line in lines(text):
        line = line.strip()
        if line.startswith("```"):
            if inside:
                break
            inside, start = line == "```mermaid", number
            continue
        if not inside:
            continue
        group = re.match(r"subgraph tier(\d+)\b", line)
        edge = re.fullmatch(r"(\w+) --> (\w+)", line)
        if group:
            tier = int(group.group(1))
        elif line == "end":
            tier = None
        elif edge:
            edges.add(edge.groups())
        elif tier is not None and re.fullmatch(r"\w+", line):
            tiers[line] = tier
    return edges, tiers, start


def rule_diagram(tree: Tree) -> Iterator[Finding]:
    """The diagram is what the build declares, exactly."""
    page = "docs/ARCHITECTURE.md"
    if page not in tree.files:
        yield Finding(page, 1, "diagram", "is missing")
        return
    edges, tiers, start = diagram(tree.files[page])
    declared = modules(tree)
    for name, module in sorted(declared.items()):
        if name not in tiers:
            yield Finding(page, start, "diagram", f"module {name} is not in the diagram")
        elif tiers[name] != module.tier:
            yield Finding(page, start, "diagram", f"{name}: tier {tiers[name]} drawn, {module.tier} in {module.path}")
        drawn = {to for source, to in edges if source == name}
        for dep in sorted(module.deps - drawn):
            yield Finding(page, start, "diagram", f"missing: {name} --> {dep} (declared in {module.path})")
        for dep in sorted(drawn - module.deps):
            yield Finding(page, start, "diagram", f"too much: {name} --> {dep} (not declared in {module.path})")
        for dep in sorted(module.deps):
            if dep in declared and declared[dep].tier >= module.tier:
                yield Finding(module.path, 1, "diagram", f"tier {module.tier} may not depend on {dep}")
    for source, to in sorted(edges):
        for name in (source, to):
            if name not in tiers:
                yield Finding(page, start, "diagram", f"the edge {source} --> {to} names {name}, which has no tier")


def warnings(tree: Tree) -> list[str]:
    """Modules that are drawn but have no folder yet."""
    _, tiers, _ = diagram(tree.files.get("docs/ARCHITECTURE.md", ""))
    return [f"warning: docs/ARCHITECTURE.md draws {name}, which has no src/{name}/CMakeLists.txt"
            for name in sorted(set(tiers) - set(modules(tree)))]


def rule_includes(tree: Tree) -> Iterator[Finding]:
    """A module includes itself and what it lists."""
    declared = modules(tree)
    for path, text in tree.code():
        owner = re.match(r"src/(\w+)/", path)
        if not owner or owner.group(1) not in declared:
            continue
        name = owner.group(1)
        for number, line in lines(text):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            target = found.group(1)
            if target.startswith(".") or "/" not in target:
                yield Finding(path, number, "include", f'"{target}": write it as "{name}/…"')
            elif target.split("/")[0] not in declared[name].deps | {name}:
                yield Finding(path, number, "include",
                              f'"{target}": {name} does not list {target.split("/")[0]} in {declared[name].path}')


def rule_headers(tree: Tree) -> Iterator[Finding]:
    """A header starts with what it is for, is included once, and keeps heavy headers out."""
    for path, text in tree.code():
        if not path.endswith(".h"):
            continue
        first = text.lstrip().split("\n", 1)[0]
        if not re.match(r"//\s*\S|/\*", first):
            yield Finding(path, 1, "header", "starts without a comment that says what it is for")
        if "#pragma once" not in text:
            yield Finding(path, 1, "header", "has no #pragma once")
        for number, line in lines(text):
            found = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
            if found and HEAVY.search(found.group(1)) and path not in HEAVY_ALLOWED:
                yield Finding(path, number, "header", f"{found.group(1)} is heavy: include it in the .cc file")
    for path, reason in HEAVY_ALLOWED.items():
        # Only in the tree that the list is about; the tests of this program check small trees.
        here = any(name.startswith(path.rsplit("/", 1)[0] + "/") for name in tree.files)
        if (here and path not in tree.files) or not reason:
            yield Finding("tests/tidy/tidy.py", 1, "header", f"HEAVY_ALLOWED: {path} is gone or has no reason")


def anchors(text: str) -> set:
    """The anchors that headings of a page get (GitHub's way)."""
    found: dict[str, int] = {}
    out = set()
    fenced = False
    for _, line in lines(text):
        if line.startswith("```"):
            fenced = not fenced
        heading = None if fenced else re.match(r"#{1,6}\s+(.*)", line)
        if heading:
            name = re.sub(r"[^\w\- ]", "", heading.group(1).strip().lower()).replace(" ", "-")
            out.add(name if name not in found else f"{name}-{found[name]}")
            found[name] = found.get(name, 0) + 1
    return out


def rule_links(tree: Tree) -> Iterator[Finding]:
    """Links between pages lead somewhere."""
    folders = {posixpath.dirname(path) for path in tree.paths}
    folders |= {parent for folder in set(folders) for parent in parents(folder)}
    for path, text in tree.files.items():
        if not path.endswith(".md"):
            continue
        fenced = False
        for number, line in lines(text):
            if line.lstrip().startswith("```"):
                fenced = not fenced
            if fenced:
                continue
            for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z][a-z0-9+.-]*:", target):
                    continue
                file, _, anchor = target.partition("#")
                full = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if file else path
                if full not in tree.paths and full not in folders:
                    yield Finding(path, number, "link", f"{target} leads nowhere")
                elif anchor and full in tree.files and full.endswith(".md") and anchor not in anchors(tree.files[full]):
                    yield Finding(path, number, "link", f"{full} has no heading #{anchor}")


def parents(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = posixpath.dirname(folder)


RULES = [rule_sizes, rule_words, rule_machine_paths, rule_errors, rule_diagram, rule_includes, rule_headers, rule_links]


def check(root: str) -> tuple[list[Finding], list[str]]:
    tree = Tree(root)
    return sorted(finding for rule in RULES for finding in rule(tree)), warnings(tree)


def main() -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(here))
    findings, said = check(root)
    for warning in said:
        print(warning)
    for finding in findings:
        print(finding)
    print(f"tidy: {len(findings)} breaches of {len(RULES)} rules" if findings else f"tidy: {len(RULES)} rules hold")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
