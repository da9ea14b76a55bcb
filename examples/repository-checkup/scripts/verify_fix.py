"""`verify` of the task `fix`: only white space at line ends and modes may differ, and every changed file
still parses.

    verify_fix.py COMMIT

COMMIT is where the run started (the inventory's head). The working tree is compared with it, so the same
command checks the task's workspace, whose change is not committed yet, and the merged tree. Exit status 0:
all is as promised.
"""

import sys

from common import git, read_file, show
from languages import language_of, shebang
from whitespace_rules import same_but_whitespace, same_meaning, syntax_problem

MAX_BYTES = 8 << 20


def changes(base):
    """The records of git diff --raw between the commit and the working tree."""
    fields = git("diff", "--raw", "-z", "--no-renames", "--abbrev=64", "--no-ext-diff", base).split(b"\0")
    return list(zip(fields[0::2], fields[1::2]))


def problems(base):
    records = changes(base)
    for path in git("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")[:-1]:
        yield "%s: a fix adds no files" % show(path)
    for head, path in records:
        old_mode, new_mode, old_blob, _, status = head.decode().lstrip(":").split(" ")
        name = show(path)
        if status != "M" or not old_mode.startswith("100"):
            yield "%s: a fix only modifies regular files (status %s)" % (name, status)
            continue
        old = git("cat-file", "blob", old_blob)
        new = read_file(path, MAX_BYTES)
        if new is None:
            yield "%s: cannot be read" % name
            continue
        if old_mode != new_mode and not (new_mode == "100755" and shebang(new)):
            yield "%s: the mode went from %s to %s" % (name, old_mode, new_mode)
        if old == new:
            continue
        if not same_but_whitespace(old, new):
            yield "%s: more than white space changed" % name
        language = language_of(path, new)
        if not same_meaning(language, old, new):
            yield "%s: the program is not the same any more" % name
        trouble = syntax_problem(path, language, new)
        if trouble and not syntax_problem(path, language, old):
            yield "%s: it does not parse any more: %s" % (name, trouble)
    # git's own opinion: nothing is left when white space is ignored.
    if (
        records
        and git(
            "diff", "--no-ext-diff", "--no-textconv", "-w", "--ignore-blank-lines", "--numstat", base
        ).strip()
    ):
        left = git(
            "diff", "--no-ext-diff", "--no-textconv", "-w", "--ignore-blank-lines", "--numstat", "-z", base
        )
        for record in left.split(b"\0"):
            parts = record.split(b"\t")
            if len(parts) == 3 and (parts[0], parts[1]) != (b"0", b"0"):
                yield "%s: git sees a change that is not white space" % show(parts[2])


def main():
    base = git("rev-parse", "--verify", "--end-of-options", sys.argv[1] + "^{commit}").decode().strip()
    found = list(problems(base))
    for problem in found:
        print("verify: " + problem)
    print("verify: %s" % ("refused" if found else "only white space and modes changed"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
