"""Which trailing whitespace may go without changing what a file means, and how a fixed file is checked.

White space at a line's end matters inside strings that span lines, in here-documents, and after a backslash.
A language is in STRIP only when the place of its multi-line strings can be told with certainty, or when any
sign of one (HAZARDS) makes the whole file be left alone. In doubt nothing is changed.
"""

import ast
import io
import json
import os
import re
import subprocess
import tempfile
import tokenize

# A match anywhere in the file means: do not strip lines of this file.
_TRIPLE = rb"\"\"\"|'''"
_HEREDOC = rb"<<[-~]?\s*[\"'`\\]?[A-Za-z_]"
HAZARDS = {
    "C": rb"R\"|\?\?/",
    "C header": rb"R\"|\?\?/",
    "C++": rb"R\"|\?\?/",
    "Objective-C": rb"R\"",
    "Protobuf": rb"(?!)",
    "Java": _TRIPLE,
    "Kotlin": _TRIPLE,
    "Scala": _TRIPLE,
    "Swift": _TRIPLE,
    "C#": rb"@\"|\$\"|" + _TRIPLE,
    "Groovy": _TRIPLE + rb"|\$/",
    "JavaScript": rb"(?!)",
    "TypeScript": rb"(?!)",
    "Go": rb"(?!)",
    "Rust": rb"r#*\"",
    "CMake": rb"\[=*\[",
    "CSS": rb"(?!)",
    "Shell": _HEREDOC,
    "Ruby": _HEREDOC + rb"|^__END__|^=begin|%[qQwWiIrsx]?[\[({<|!/]",
    "Perl": _HEREDOC + rb"|^__(END|DATA)__|\bq[qwrx]?\s*[^\w\s=,;)]|^format\s",
    "Lua": rb"\[=*\[",
    "TOML": _TRIPLE,
    "JSON": rb"(?!)",
    "Python": rb"(?!)",
    "Meson": _TRIPLE,
}
STRIP = frozenset(HAZARDS)
# Quotes that may span lines: a line with an odd number of one makes the file be left alone.
SPANNING = {
    "JavaScript": b"`",
    "TypeScript": b"`",
    "Go": b"`",
    "Rust": b'"',
    "Shell": b"\"'`",
    "CMake": b'"',
    "Perl": b"\"'`",
    "Ruby": b"\"'`",
}
COMMENT = {"Shell": b"#", "CMake": b"#", "Perl": b"#", "Ruby": b"#", "Rust": b"//"}
# A missing last line end may be added to these too: there it never means anything.
FINAL_NEWLINE = STRIP | {
    "Makefile",
    "YAML",
    "SQL",
    "HTML",
    "M4",
    "Assembly",
    "Fortran",
    "Haskell",
    "Dockerfile",
    "XML",
    "INI",
    "Awk",
    "Terraform",
    "Nix",
    "PowerShell",
    "R",
    "Julia",
    "Dart",
    "Elixir",
    "Erlang",
    "Zig",
    "Vala",
    "Yacc",
    "Lex",
}


def _odd_quotes(content, language):
    quotes, comment = SPANNING.get(language, b""), COMMENT.get(language)
    for line in content.split(b"\n"):
        if comment and line.lstrip().startswith(comment):
            continue
        line = line.replace(b"\\\\", b"")
        for quote in (quotes[i : i + 1] for i in range(len(quotes))):
            if (line.count(quote) - line.count(b"\\" + quote)) % 2:
                return True
    return False


def _python_string_lines(content):
    """Line numbers whose end lies inside a string, or None when the file cannot be read as Python."""
    inside = set()
    try:
        for token in tokenize.tokenize(io.BytesIO(content).readline):
            # FSTRING_MIDDLE of Python 3.12: its name is missing in older ones.
            if token.type == tokenize.STRING or tokenize.tok_name[token.type].startswith("FSTRING"):
                inside.update(range(token.start[0], token.end[0]))
        return inside
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None


def fixed(content, language, strip=True, newline=True):
    """The content with harmless white space removed and a last line end added; the same object when
    nothing is to do.
    """
    result = content
    if (
        strip
        and language in STRIP
        and not re.search(HAZARDS[language], content, re.MULTILINE)
        and not _odd_quotes(content, language)
    ):
        protected = _python_string_lines(content) if language == "Python" else set()
        if protected is not None:
            lines = content.split(b"\n")
            for number, line in enumerate(lines, 1):
                end = b"\r" if line.endswith(b"\r") and number < len(lines) else b""
                body = line[:-1] if end else line
                bare = body.rstrip(b" \t")
                if bare != body and not bare.endswith(b"\\") and number not in protected:
                    lines[number - 1] = bare + end
            result = b"\n".join(lines)
    if (
        newline
        and language in FINAL_NEWLINE
        and result.strip()
        and not result.endswith((b"\n", b"\r", b"\\"))
    ):
        result += b"\r\n" if result.count(b"\r\n") * 2 > result.count(b"\n") else b"\n"
    return content if result == content else result


def same_but_whitespace(old, new):
    """Whether both differ only in blanks at line ends and in the end of the last line."""

    def bare(content):
        lines = [line.rstrip(b" \t\r") for line in content.split(b"\n")]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    return bare(old) == bare(new)


def syntax_problem(path, language, content):
    """Why the content does not parse, or '' (also for languages that are not checked here)."""
    if language == "Python":
        try:
            ast.parse(content)
        except (SyntaxError, ValueError) as error:
            return str(error)
    elif language == "JSON" and os.path.splitext(path)[1] == b".json":
        try:
            json.loads(content.decode("utf-8-sig"))
        except ValueError as error:
            return str(error)
    elif language == "Shell":
        first = content.split(b"\n", 1)[0]
        shell = "bash" if b"bash" in first or path.endswith(b".bash") else "sh"
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            try:
                done = subprocess.run(
                    [shell, "-n", file.name],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    timeout=30,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return str(error)
            if done.returncode != 0:
                return done.stderr.decode("utf-8", "replace").strip()[:200] or "it does not parse"
    return ""


def same_meaning(language, old, new):
    """For Python the syntax trees are compared, so that not even a string can have changed."""
    if language != "Python":
        return True
    try:
        return ast.dump(ast.parse(old)) == ast.dump(ast.parse(new))
    except (SyntaxError, ValueError):
        return False
