"""`verify` of the tasks that write into the repository: verify_report.py COMMIT REPORT [OTHER...]

Since COMMIT nothing but the given files and what the fix changed (white space, modes) may differ, the report
must be whole, and no value that looks like a credential may stand in it. When REPORT was there already and is
somebody else's, the report stands beside it as REPORT.checkup.md (see report.py).
"""

import sys

from common import git, read_file, show
from report_sections import MARK
from secret_patterns import matches
from verify_fix import changes
from whitespace_rules import same_but_whitespace

SECTIONS = (
    "# Checkup of ",
    "## Score card",
    "## What to do first",
    "## Inventory",
    "## Build and tests",
    "## Static analysis",
    "## Secrets",
    "## Dependencies and licences",
    "## Hot spots",
    "## Automatic fix",
    "## What was not run",
)


def problems(base, paths):
    beside = paths[0][:-3] + ".checkup.md"
    if MARK.encode() in (read_file(beside, 4096) or b""):
        paths = [beside] + paths[1:]
    allowed = set(paths)
    for path in git("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")[:-1]:
        if show(path) not in allowed:
            yield "%s: this task adds only %s" % (show(path), ", ".join(paths))
    for head, path in changes(base):
        if show(path) in allowed:
            continue
        _, _, old_blob, _, status = head.decode().split(" ")
        if status != "M" or not same_but_whitespace(
            git("cat-file", "blob", old_blob), read_file(path, 8 << 20) or b""
        ):
            yield "%s: this task changes only %s" % (show(path), ", ".join(paths))
    content = read_file(paths[0], 8 << 20)
    if content is None:
        yield "%s: it is not there" % paths[0]
        return
    text = content.decode("utf-8")
    position = 0
    for section in SECTIONS:
        found = text.find(section, position)
        if found < 0:
            yield "%s: the part '%s' is missing" % (paths[0], section.strip("# "))
        position = max(position, found)
    columns = 0
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.replace("\\|", "").count("|") if line.startswith("|") else 0
        if columns and cells and cells != columns:
            yield "%s:%d: a row with %d columns in a table of %d" % (paths[0], number, cells - 1, columns - 1)
        columns = cells
        for _, what, _, _ in matches(line.encode()):
            yield "%s:%d: a %s is not masked" % (paths[0], number, what)


def main():
    base = git("rev-parse", "--verify", "--end-of-options", sys.argv[1] + "^{commit}").decode().strip()
    found = list(problems(base, sys.argv[2:]))
    for problem in found:
        print("verify: " + problem)
    print("verify: %s" % ("refused" if found else "the report is whole"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
