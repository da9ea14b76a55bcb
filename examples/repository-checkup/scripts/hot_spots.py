"""Task `hot-spots`: where the work of the last N commits went, who knows which file, and what changes
together.

A hot spot is a file that is changed often and is large: commits × lines. Files that change together are found
by counting pairs in commits of at most MAX_FILES_OF_A_COMMIT files (a wide commit says nothing about
coupling).
"""

import os
import re
from collections import Counter, defaultdict
from itertools import combinations

from common import Task, clip, git, read_file, say, show, stays_inside, tracked_files
from languages import PROGRAMMING, is_binary, is_generated, is_test, is_test_data, is_vendored, language_of

MAX_FILES_OF_A_COMMIT = 25
MAX_PAIRS = 300_000
MIN_TOGETHER = 4
READ_BYTES = 4 << 20
_HASH = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")


def parse_log(raw):
    """Commits of `git log --numstat -z --format=%x01%H%x00%aN%x00%ct%x00`: (hash, author, time, {path:
    (added, deleted)}).
    """
    for chunk in raw.split(b"\x01"):
        fields = chunk.split(b"\0")
        if len(fields) < 4 or not _HASH.fullmatch(fields[0]) or not fields[2].isdigit():
            continue
        commit, author, when = fields[0].decode(), show(fields[1]), int(fields[2])
        changes = {}
        position = 3
        while position < len(fields):
            parts = fields[position].lstrip(b"\n").split(b"\t", 2)
            position += 1
            if len(parts) != 3:
                continue
            added, deleted, path = parts
            if path == b"":  # a rename: the old and the new name follow
                if position + 1 >= len(fields):
                    break
                path = fields[position + 1]
                position += 2
            changes[path] = (int(added) if added.isdigit() else 0, int(deleted) if deleted.isdigit() else 0)
        yield commit, author, when, changes


def current_sources():
    """Path → lines of the source files as they are now: own code only."""
    sources = {}
    for file in tracked_files():
        if (
            not file.regular
            or is_vendored(file.path)
            or is_test_data(file.path)
            or not stays_inside(file.path)
        ):
            continue
        by_name = language_of(file.path)
        if by_name is not None and by_name not in PROGRAMMING:
            continue
        content = read_file(file.path, READ_BYTES)
        if content is None or is_binary(content) or is_generated(file.path, content):
            continue
        if language_of(file.path, content) in PROGRAMMING:
            sources[file.path] = content.count(b"\n") + (not content.endswith(b"\n"))
    return sources


def bus_factor(counts):
    """The least number of people who together made at least half of the commits."""
    total, reached = sum(counts.values()), 0
    for people, (_, commits) in enumerate(sorted(counts.items(), key=lambda p: (-p[1], p[0])), 1):
        reached += commits
        if reached * 2 >= total:
            return people
    return 0


def study(commits, sources):
    authors, file_commits, file_churn = Counter(), Counter(), Counter()
    file_authors, pairs = defaultdict(Counter), Counter()
    count, newest, oldest, dates = 0, 0, 0, []
    for _, author, when, changes in commits:
        count += 1
        authors[author] += 1
        dates.append(when)
        newest = max(newest, when)
        oldest = min(oldest or when, when)
        touched = sorted(path for path in changes if path in sources)
        for path in touched:
            file_commits[path] += 1
            file_churn[path] += sum(changes[path])
            file_authors[path][author] += 1
        if 2 <= len(touched) <= MAX_FILES_OF_A_COMMIT and len(pairs) < MAX_PAIRS:
            pairs.update(combinations(touched, 2))
    spots = []
    for path, times in file_commits.items():
        people = file_authors[path]
        main, main_commits = min(people.items(), key=lambda p: (-p[1], p[0]))
        spots.append(
            {
                "file": show(path),
                "commits": times,
                "lines": sources[path],
                "churn": file_churn[path],
                "score": times * sources[path],
                "people": len(people),
                "main_author": clip(main, 60),
                "main_share": round(100 * main_commits / times),
            }
        )
    spots.sort(key=lambda s: (-s["score"], s["file"]))
    together = []
    for (one, two), times in pairs.items():
        least = min(file_commits[one], file_commits[two])
        if times >= MIN_TOGETHER and times * 2 >= least:
            together.append(
                {
                    "files": [show(one), show(two)],
                    "together": times,
                    "share": round(100 * times / least),
                    "natural": _natural_pair(one, two),
                }
            )
    together.sort(key=lambda t: (t["natural"], -t["together"], -t["share"], t["files"]))
    return {
        "commits": count,
        "authors": [
            {"name": clip(n, 60), "commits": c}
            for n, c in sorted(authors.items(), key=lambda a: (-a[1], a[0]))[:15]
        ],
        "author_count": len(authors),
        "bus_factor": bus_factor(authors),
        "newest": newest,
        "oldest": oldest,
        "last_30_days": sum(1 for d in dates if newest - d <= 30 * 86400),
        "last_year": sum(1 for d in dates if newest - d <= 365 * 86400),
        "hot_spots": spots[:30],
        "together": together[:20],
        "single_author": sum(1 for s in spots if s["people"] == 1 and s["commits"] >= 5),
        "files_changed": len(spots),
    }


def _natural_pair(one, two):
    """A header and its source, or a source and a test, are expected to change together."""
    if is_test(one) != is_test(two):
        return True

    def stem(path):
        name = os.path.splitext(os.path.basename(path))[0]
        for mark in (b"test_", b"_test", b"-test", b".test", b".spec", b"_spec", b"Test"):
            name = name.replace(mark, b"")
        return name.lower()

    return stem(one) == stem(two)


def main():
    task = Task()
    limit = task.input_int("history_commits", 1000, 0, 100000)
    raw = (
        git(
            "log",
            "-n",
            str(limit),
            "--no-merges",
            "--numstat",
            "-z",
            "-M",
            "--no-ext-diff",
            "--no-textconv",
            "--format=%x01%H%x00%aN%x00%ct%x00",
            "HEAD",
            timeout=400,
        )
        if limit
        else b""
    )
    result = study(parse_log(raw), current_sources())
    result["limit"] = limit
    for spot in result["hot_spots"][:10]:
        say(
            "%6d  %4d commits × %5d lines  %s" % (spot["score"], spot["commits"], spot["lines"], spot["file"])
        )
    say(
        "hot-spots: %d commits, %d people, bus factor %d"
        % (result["commits"], result["author_count"], result["bus_factor"])
    )
    task.finish(
        {"commits": result["commits"], "bus_factor": result["bus_factor"]}, {"hot-spots.json": result}
    )


if __name__ == "__main__":
    main()
