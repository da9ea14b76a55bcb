"""The score card: for each subject a figure from 0 to 10 and the sentence that says where it comes from.

A subject that could not be measured has no figure and does not count. The overall figure is the weighted
mean.
"""

import math

from markdown import count, number

WEIGHTS = {
    "Build and tests": 3,
    "Static analysis": 2,
    "Secrets": 3,
    "Dependencies and licences": 2,
    "Knowledge and hot spots": 1,
    "Housekeeping": 1,
}
# Weighted findings for 1,000 lines of code → figure. An error weighs 5, a warning 1, the rest nothing.
DENSITY = [(0, 10), (0.2, 9), (0.5, 8), (1, 7), (2, 6), (4, 5), (8, 4), (16, 3), (32, 2)]


DEEP = ("cppcheck", "shellcheck")  # these follow what a program does; the others only check that it parses
SYNTAX_ONLY_MOST = 8


def build(builds, not_tried):
    tried = [b for b in builds if b["status"] in ("passed", "failed", "timeout")]
    if not tried:
        if builds:
            return None, "%s could not be tried: %s" % (builds[0]["system"], builds[0]["reason"].rstrip("."))
        if not_tried:
            return None, "%s could not be tried: %s" % (not_tried[0]["system"], not_tried[0]["why"])
        return None, "no build system was found"
    figures, reasons = [], []
    for item in tried:
        tests = item["tests"]
        name = "%s%s" % (item["system"], "" if item["folder"] == "." else " in " + item["folder"])
        if item["status"] == "timeout":
            figures.append(3)
            reasons.append("%s ran out of time" % name)
        elif item["status"] == "failed" and tests and tests["run"]:
            share = tests["failed"] / tests["run"]
            figures.append(max(2, 7 - math.ceil(share * 10)))
            reasons.append("%s builds, %d of %d tests fail" % (name, tests["failed"], tests["run"]))
        elif item["status"] == "failed":
            figures.append(1)
            reasons.append("%s fails" % name)
        elif tests and tests["run"]:
            figures.append(10)
            ran = (
                count(tests["run"], "test")
                if "unit" not in tests
                else "the tests of " + count(tests["run"], tests["unit"].rstrip("s"))
            )
            reasons.append("%s: %s passed" % (name, ran))
        elif any(step["name"] == "dry run" for step in item["steps"]) and len(item["steps"]) == 1:
            continue
        else:
            figures.append(7)
            reasons.append("%s passes, but ran no tests that could be counted" % name)
    if not figures:
        return None, "only dry runs were possible"
    return round(sum(figures) / len(figures)), "; ".join(reasons)


def analysis(results):
    lines = sum(r["lines_outside_tests"] for r in results if r["tool"] not in ("text", "data"))
    if not lines:
        return None, "no analyzer for these languages is on this machine"
    errors, warnings = (
        sum(r["counts_outside_tests"][s] for r in results if r["tool"] != "text")
        for s in ("error", "warning")
    )
    density = (5 * errors + warnings) * 1000 / lines
    figure = next((f for limit, f in DENSITY if density <= limit), 1)
    deep = sum(r["lines_outside_tests"] for r in results if r["tool"] in DEEP)
    note = ""
    if deep * 2 < lines and figure > SYNTAX_ONLY_MOST:
        figure, note = SYNTAX_ONLY_MOST, "; mostly syntax checks, so %d at most" % SYNTAX_ONLY_MOST
    if not errors and not warnings:
        return figure, "no error and no warning in %s lines outside tests%s" % (number(lines), note)
    return figure, "%s and %s in %s lines outside tests: %.1f for 1,000 lines, an error weighs 5%s" % (
        count(errors, "error"),
        count(warnings, "warning"),
        number(lines),
        density,
        note,
    )


def secret(result):
    tree, past = result["counts"]["tree"], result["counts"]["history"]
    if tree["high"]:
        return 0, "%s in the present files" % count(tree["high"], "credential")
    if past["high"]:
        return 3, "%s in the history, not in the present files any more" % count(past["high"], "credential")
    if tree["medium"] or past["medium"]:
        return 7, "%s to look at, no certain one" % count(tree["medium"] + past["medium"], "possible secret")
    note = (
        " (%s in tests or examples, likely samples)" % count(tree["low"] + past["low"], "match", "matches")
        if tree["low"] + past["low"]
        else ""
    )
    return 10, "nothing in %s and %s%s" % (
        count(result["files"], "file"),
        count(result["commits"], "commit"),
        note,
    )


def dependencies(result):
    figure, reasons = 10, []
    for identity, minus, most, text in (
        ("no-licence", 4, 4, "no licence file"),
        ("unknown-licence", 2, 2, "an unknown licence text"),
        ("licence-mismatch", 2, 2, "manifest and licence file disagree"),
        ("spdx-differs", 1, 1, "SPDX lines differ from the licence file"),
        ("no-lock", 2, 2, "dependencies without a lock file"),
        ("unbounded", 1, 2, "versions without an upper bound"),
        ("not-a-release", 1, 2, "dependencies that are not releases"),
        ("lock-drift", 1, 2, "a lock file that lags behind"),
        ("unreadable", 2, 2, "a manifest that cannot be read"),
        ("no-licence-field", 1, 1, "no licence in a manifest"),
        ("replaced", 1, 1, "a module replaced by a folder"),
    ):
        times = result["problem_counts"].get(identity, 0)
        if times:
            cut = min(most, minus * times)
            figure -= cut
            reasons.append("−%d %s" % (cut, text))
    held = count(result["count"], "dependency", "dependencies")
    return max(0, figure), (
        ("%s; " % held + ", ".join(reasons))
        if reasons
        else "%s, %s, nothing to object to"
        % (
            held,
            "licence " + " and ".join(result["licences"]) if result["licences"] else "licence not recognised",
        )
    )


def knowledge(result):
    if result["commits"] < 20:
        return None, "too little history (%s)" % count(result["commits"], "commit")
    figure, reasons = 10, []
    if result["bus_factor"] == 1:
        figure -= 4
        reasons.append("−4 one person made at least half of the commits")
    elif result["bus_factor"] == 2:
        figure -= 1
        reasons.append("−1 two people made at least half of the commits")
    spots = result["hot_spots"]
    if spots and spots[0]["lines"] >= 1500:
        figure -= 2
        reasons.append("−2 the hottest file has %s lines" % number(spots[0]["lines"]))
    surprising = [t for t in result["together"] if not t["natural"] and t["share"] >= 80]
    if len(surprising) >= 3:
        figure -= 1
        reasons.append("−1 %d pairs of files nearly always change together" % len(surprising))
    return max(0, figure), ", ".join(reasons) or "%d people, knowledge is spread" % result["author_count"]


def housekeeping(inventory, text):
    figure, reasons, marks = 10, [], inventory["landmarks"]

    def cut(points, why):
        nonlocal figure
        figure -= points
        reasons.append("−%d %s" % (points, why))

    if not marks["readme"]:
        cut(2, "no README")
    if not inventory["test_files"]:
        cut(3, "no test files")
    if not marks["ci"]:
        cut(1, "no continuous integration")
    if not marks["gitignore"]:
        cut(1, "no .gitignore")
    if not marks["changelog"]:
        cut(1, "no changelog")
    kinds = {k["id"]: k["count"] for k in text["kinds"]} if text else {}
    if kinds.get("conflict-marker"):
        cut(3, "%s with conflict marks" % count(kinds["conflict-marker"], "file"))
    if kinds.get("broken-link") or kinds.get("case-collision"):
        cut(1, "broken links or names that collide")
    if kinds.get("large-file"):
        cut(1, "%s over 5 MB" % count(kinds["large-file"], "file"))
    return (
        max(0, figure),
        ", ".join(reasons) or "README, tests, continuous integration, changelog and .gitignore are there",
    )


def score(data):
    """[(subject, figure or None, reason)] and the overall figure (one decimal) or None."""
    text = next((r for r in data["analysis"] if r["tool"] == "text"), None)
    missing = (None, "the task left no result")
    card = [
        ("Build and tests",) + build(data["builds"], data["inventory"]["builds_not_run"]),
        ("Static analysis",) + (analysis(data["analysis"]) if data["analysis"] else missing),
        ("Secrets",) + (secret(data["secrets"]) if data["secrets"] else missing),
        ("Dependencies and licences",)
        + (dependencies(data["dependencies"]) if data["dependencies"] else missing),
        ("Knowledge and hot spots",) + (knowledge(data["hot_spots"]) if data["hot_spots"] else missing),
        ("Housekeeping",) + housekeeping(data["inventory"], text),
    ]
    rated = [(WEIGHTS[subject], figure) for subject, figure, _ in card if figure is not None]
    weight = sum(w for w, _ in rated)
    return card, round(sum(w * f for w, f in rated) / weight, 1) if weight else None
