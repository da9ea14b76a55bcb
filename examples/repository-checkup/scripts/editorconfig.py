"""The two properties of .editorconfig that a whitespace fix must respect, after the specification
(editorconfig.org).

Files are read from the file's folder upwards until one says root = true; nearer files and later sections win.
"""

import os
import re

from common import read_file

MAX_BYTES = 64 * 1024
MAX_BRACE_DEPTH = 8


def glob_to_regex(glob):
    """A section name as a regular expression over the path relative to its .editorconfig, or None when it
    is invalid.
    """
    body = _translate(glob, 0)
    if body is None:
        return None
    prefix = "" if "/" in glob else "(?:.*/)?"
    if glob.startswith("/"):
        body = body[1:]
    try:
        return re.compile(prefix + body + r"\Z", re.DOTALL)
    except re.error:
        return None


def _translate(glob, depth):
    if depth > MAX_BRACE_DEPTH:
        return None
    out, i = "", 0
    while i < len(glob):
        c = glob[i]
        if glob.startswith("**/", i) and (i == 0 or glob[i - 1] == "/"):
            out, i = out + "(?:.*/)?", i + 3
        elif glob.startswith("**", i):
            out, i = out + ".*", i + 2
        elif c == "*":
            out, i = out + "[^/]*", i + 1
        elif c == "?":
            out, i = out + "[^/]", i + 1
        elif c == "[" and "]" in glob[i + 1 :]:
            end = glob.index("]", i + 1)
            inner = glob[i + 1 : end]
            negated = inner.startswith(("!", "^"))
            inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
            out, i = out + "[" + ("^" if negated else "") + inner + "]", end + 1
        elif c == "{" and _closing(glob, i) is not None:
            end = _closing(glob, i)
            inner = glob[i + 1 : end]
            span = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", inner)
            if span:
                low, high = sorted((int(span.group(1)), int(span.group(2))))
                if high - low > 1000:
                    return None
                out += "(?:" + "|".join(str(n) for n in range(low, high + 1)) + ")"
            else:
                parts = [_translate(part, depth + 1) for part in _split(inner)]
                if None in parts:
                    return None
                out += "(?:" + "|".join(parts) + ")" if len(parts) > 1 else r"\{" + parts[0] + r"\}"
            i = end + 1
        elif c == "\\" and i + 1 < len(glob):
            out, i = out + re.escape(glob[i + 1]), i + 2
        else:
            out, i = out + re.escape(c), i + 1
    return out


def _closing(glob, start):
    depth = 0
    for i in range(start, len(glob)):
        depth += (glob[i] == "{") - (glob[i] == "}")
        if depth == 0:
            return i
    return None


def _split(inner):
    parts, depth, current = [], 0, ""
    for c in inner:
        depth += (c == "{") - (c == "}")
        if c == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += c
    return parts + [current]


def parse(text):
    """(root, [(regex, {property: value})])."""
    root, sections, current = False, [], None
    for line in text.splitlines():
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            current = {}
            pattern = glob_to_regex(line[1:-1])
            if pattern is not None:
                sections.append((pattern, current))
        elif "=" in line:
            key, value = (part.strip().lower() for part in line.split("=", 1))
            if current is None:
                root = root or (key == "root" and value == "true")
            else:
                current[key] = value
    return root, sections


class EditorConfig:
    """Answers for paths of the workspace (bytes, relative); each .editorconfig is read once."""

    def __init__(self):
        self._files = {}

    def _of(self, folder):
        if folder not in self._files:
            data = read_file(os.path.join(folder, b".editorconfig"), MAX_BYTES)
            self._files[folder] = parse(data.decode("utf-8", "replace")) if data is not None else None
        return self._files[folder]

    def properties(self, path):
        chain, folder = [], os.path.dirname(path)
        while True:
            parsed = self._of(folder)
            if parsed:
                chain.append((folder, parsed))
                if parsed[0]:
                    break
            if folder == b"":
                break
            folder = os.path.dirname(folder)
        merged = {}
        for folder, (_, sections) in reversed(chain):
            relative = os.path.relpath(path, folder) if folder else path
            text = relative.decode("utf-8", "replace")
            for pattern, properties in sections:
                if pattern.match(text):
                    merged.update(properties)
        return merged
