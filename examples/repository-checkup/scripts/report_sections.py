"""The parts of REPORT.md: each function gives the lines of one part, out of the results that report.py
collected.
"""

from datetime import datetime, timezone

from common import SEVERITIES, clip
from markdown import bar, code, count, number, plain, size, table

MARK = "<!-- Written by the workflow repository-checkup of Ez Aigent. -->"
TASKS = ("build-and-test", "static-analysis", "secret-scan", "dependencies-and-licences", "hot-spots", "fix")


def day(text):
    return text[:10]


def head(data, name, card, overall):
    inventory, story = data["inventory"], data["inventory"]["history"]
    totals = inventory["totals"]
    languages = [e for e in inventory["languages"] if e["code"]]
    code_lines = sum(e["lines"] for e in languages) or 1
    mostly = " and ".join(e["language"] for e in languages[:2] if e["lines"] * 6 >= code_lines)
    lines = ["# Checkup of " + plain(name), "", MARK, ""]
    rated = sum(1 for _, figure, _ in card if figure is not None)
    lines.append(
        "**Overall %s.** %s%s in %s, %s by %s, last one on %s."
        % (
            (
                "%.1f of 10%s"
                % (overall, "" if rated == len(card) else ", %d of %d subjects rated" % (rated, len(card)))
                if overall is not None
                else "not rated"
            ),
            "Mostly %s: " % plain(mostly) if mostly else "",
            count(totals.get("lines", 0), "line"),
            count(totals.get("files", 0), "file"),
            count(story["commits"], "commit"),
            count(story["contributors"], "person", "people"),
            day(story["last_commit"]),
        )
    )
    lines += [
        "",
        "State looked at: commit %s%s."
        % (
            code(story["head"][:12]),
            ", after the tag %s" % code(story["latest_tag"]) if story["latest_tag"] else "",
        ),
        "",
    ]
    lines += ["## Score card", ""]
    lines += table(
        ["Subject", "Figure", "", "Why"],
        [
            [
                subject,
                "%d / 10" % figure if figure is not None else "not rated",
                bar(figure / 10) if figure is not None else "",
                plain(reason),
            ]
            for subject, figure, reason in card
        ],
        right=(1,),
    )
    lines.append(
        "The overall figure is the mean, weighted: secrets, builds and tests ×3, analysis, dependencies and"
        " licences ×2, the others ×1. What could not be measured does not count."
    )
    return lines + [""]


def first_steps(items):
    lines = ["## What to do first", ""]
    if not items:
        return lines + ["Nothing urgent was found.", ""]
    return lines + ["%d. %s" % (i, text) for i, text in enumerate(items, 1)] + [""]


def inventory_section(data):
    inventory = data["inventory"]
    totals = inventory["totals"]
    own = sum(e["lines"] for e in inventory["languages"]) or 1
    rows = [
        [
            plain(e["language"]),
            number(e["files"]),
            number(e["lines"]),
            "%s %d %%" % (bar(e["lines"] / own), round(100 * e["lines"] / own)),
            "%d %%" % round(100 * e["test_lines"] / e["lines"]) if e["test_lines"] and e["lines"] else "",
        ]
        for e in inventory["languages"][:12]
    ]
    lines = ["## Inventory", ""] + table(
        ["Language", "Files", "Lines", "Share", "In tests"], rows, right=(1, 2, 4)
    )
    more = inventory["languages"][12:]
    if more:
        lines += [
            "And %s: %s."
            % (
                count(len(more), "smaller one"),
                ", ".join("%s (%d)" % (plain(e["language"]), e["lines"]) for e in more),
            ),
            "",
        ]
    facts = ["%s in git" % size(totals.get("bytes", 0))]
    for key, one, many in (
        ("binary", "binary file", None),
        ("vendored", "vendored file", None),
        ("generated", "generated file", None),
        ("links", "symbolic link", None),
        ("submodules", "submodule", None),
        ("unreadable", "file that could not be read", "files that could not be read"),
        ("not_counted", "file not counted (time)", "files not counted (time)"),
    ):
        if totals.get(key):
            facts.append(count(totals[key], one, many))
    if totals.get("vendored_lines") or totals.get("generated_lines"):
        facts.append(
            "%s vendored or generated lines are left out of the table"
            % number(totals.get("vendored_lines", 0) + totals.get("generated_lines", 0))
        )
    marks = inventory["landmarks"]
    there = [
        name
        for key, name in (
            ("readme", "README"),
            ("licence", "licence"),
            ("changelog", "changelog"),
            ("contributing", "contributing guide"),
            ("security", "security policy"),
            ("gitignore", ".gitignore"),
            ("editorconfig", ".editorconfig"),
        )
        if marks[key]
    ]
    absent = [
        name
        for key, name in (
            ("readme", "README"),
            ("licence", "licence"),
            ("changelog", "changelog"),
            ("contributing", "contributing guide"),
            ("security", "security policy"),
            ("gitignore", ".gitignore"),
        )
        if not marks[key]
    ]
    lines.append("- Size: " + ", ".join(facts) + ".")
    lines.append(
        "- Present: %s.%s"
        % (
            ", ".join(there) or "none of the usual files",
            " Absent: %s." % ", ".join(absent) if absent else "",
        )
    )
    lines.append("- Continuous integration: %s." % (", ".join(code(p) for p in marks["ci"]) or "none found"))
    lines.append(
        "- Test files: %s. Shell scripts: %s."
        % (number(inventory["test_files"]), number(len(inventory["shell_scripts"])))
    )
    for item in inventory["largest"][:5]:
        lines.append("- Large: %s, %s." % (code(item["file"]), size(item["bytes"])))
    return lines + [""]


SAY_STATUS = {
    "passed": "✅ passed",
    "failed": "❌ failed",
    "timeout": "⏱ out of time",
    "unavailable": "➖ needs something absent",
    "not_run": "➖ not run",
}


def build_section(data):
    lines = ["## Build and tests", ""]
    rows = []
    for item in data["builds"]:
        tests = item["tests"]
        said = (
            "%s, %s failed"
            % (count(tests["run"], tests.get("unit", "tests").rstrip("s")), number(tests["failed"]))
            if tests
            else "none counted"
        )
        steps = ", ".join(
            "%s %.0f s%s"
            % (s["name"], s["seconds"], "" if s["status"] == "passed" else " (%s)" % s["status"])
            for s in item["steps"][:8]
        )
        rows.append(
            [code(item["system"]), code(item["folder"]), SAY_STATUS[item["status"]], said, plain(steps)]
        )
    if not rows:
        return lines + [
            "Nothing was built: %s."
            % (
                "see “What was not run” below"
                if data["inventory"]["builds_not_run"]
                else "no build system was found"
            ),
            "",
        ]
    lines += table(["System", "Folder", "Result", "Tests", "Steps"], rows)
    for item in data["builds"]:
        if item["reason"] and item["status"] != "passed":
            lines.append("- %s: %s" % (code(item["system"]), plain(clip(item["reason"], 300))))
        lines += ["- %s: %s." % (code(item["system"]), plain(note)) for note in item["notes"]]
    return lines + [""]


def place(finding):
    return code("%s:%d" % (finding["file"], finding["line"]) if finding["line"] else finding["file"])


def analysis_section(data):
    lines = ["## Static analysis", ""]
    if not data["analysis"]:
        return lines + ["No analyzer left a result.", ""]
    rows = [
        [code(r["tool"]), number(r["files"]), number(r["lines"])]
        + [number(r["counts"][s]) for s in SEVERITIES]
        + [plain(_limits(r))]
        for r in data["analysis"]
    ]
    lines += table(
        ["Analyzer", "Files", "Lines", "Errors", "Warnings", "Notes", "Remarks"], rows, right=(1, 2, 3, 4, 5)
    )
    top = [
        dict(f, tool=r["tool"]) for r in data["analysis"] for f in r["findings"] if f["severity"] != "info"
    ]
    top.sort(key=lambda f: (SEVERITIES.index(f["severity"]), f["test"], f["file"], f["line"], f["id"]))
    shown = spread(top, 20)
    if shown:
        lines += ["Top findings (at most 20; two of a kind in a file, three of a kind in all):", ""]
        lines += table(
            ["Place", "Severity", "Finding"],
            [[place(f), f["severity"], "%s %s" % (plain(f["message"]), code(f["id"]))] for f in shown],
        )
    else:
        lines += ["No errors and no warnings.", ""]
    kinds = sorted(
        (k for r in data["analysis"] for k in r["kinds"] if k["count"] > 3),
        key=lambda k: (SEVERITIES.index(k["severity"]), -k["count"], k["id"]),
    )[:10]
    if kinds:
        lines += ["<details><summary>Kinds that come often</summary>", ""]
        lines += table(
            ["Kind", "Severity", "Times", "For example"],
            [
                [code(k["id"]), k["severity"], number(k["count"]), plain(clip(k["example"], 120))]
                for k in kinds
            ],
            right=(2,),
        )
        lines += ["</details>", ""]
    return lines


def _limits(result):
    said = [result["partial"]] if result["partial"] else []
    if result["limit_count"]:
        said.append("%s it cannot judge" % count(result["limit_count"], "place"))
    extra = result.get("extra") or {}
    if extra.get("trailing_whitespace_lines"):
        said.append("%s with trailing white space" % count(extra["trailing_whitespace_lines"], "line"))
    return "; ".join(said)


def spread(findings, limit):
    """The first findings without letting one file or one kind fill the list."""
    shown, of_kind, of_file = [], {}, {}
    for finding in findings:
        kind, here = finding["id"], (finding["id"], finding["file"])
        if of_kind.get(kind, 0) < 3 and of_file.get(here, 0) < 2:
            of_kind[kind] = of_kind.get(kind, 0) + 1
            of_file[here] = of_file.get(here, 0) + 1
            shown.append(finding)
    return shown[:limit]


def secret_section(data):
    lines, result = ["## Secrets", ""], data["secrets"]
    if not result:
        return lines + ["The task left no result.", ""]
    lines += [
        "Looked at %s and at what %s added%s. Values are masked."
        % (
            count(result["files"], "file"),
            count(result["commits"], "commit"),
            " (%s)" % result["partial"] if result["partial"] else "",
        ),
        "",
    ]
    found = [f for f in result["tree"] + result["history"] if f["confidence"] != "low"]
    rows = [
        [
            place(f),
            plain(f["what"]),
            f["confidence"],
            code(f["value"]),
            "commit %s" % code(f["commit"]) if f["commit"] else "present files",
        ]
        for f in found[:20]
    ]
    lines += table(["Place", "What", "Confidence", "Value", "Where"], rows) or ["No credentials found.", ""]
    low = len(result["tree"]) + len(result["history"]) - len(found)
    if len(found) > 20:
        lines += ["%d more are in report.json." % (len(found) - 20), ""]
    if low:
        lines += [
            "%s in tests, examples or vendored code, most likely %s; report.json lists %s."
            % (
                count(low, "match", "matches"),
                "a sample" if low == 1 else "samples",
                "it" if low == 1 else "them",
            ),
            "",
        ]
    return lines


def dependency_section(data):
    lines, result = ["## Dependencies and licences", ""], data["dependencies"]
    if not result:
        return lines + ["The task left no result.", ""]
    texts = [t for t in result["licence_files"] if not t["vendored"]]
    for item in texts[:6]:
        lines.append(
            "- %s: %s" % (code(item["file"]), plain(", ".join(item["licences"])) or "not recognised")
        )
    if len(texts) > 6:
        lines.append("- … and %s." % count(len(texts) - 6, "more licence file"))
    for file, declared in result["declared"][:4]:
        lines.append("- %s declares %s" % (code(file), plain(declared)))
    if result["source_files"]:
        named = ", ".join(
            "%s (%d)" % (plain(k), v)
            for k, v in sorted(result["spdx"].items(), key=lambda s: (-s[1], s[0]))[:5]
        )
        lines.append(
            "- SPDX lines: %s of %s%s"
            % (
                number(result["spdx_files"]),
                count(result["source_files"], "source file"),
                ": " + named if named else "",
            )
        )
    if not texts and not result["declared"]:
        lines.append("- No licence file.")
    lines.append("")
    groups = {}
    for item in result["dependencies"]:
        groups.setdefault((item["ecosystem"], item["file"]), []).append(item)
    rows = []
    for (ecosystem, file), items in sorted(groups.items())[:15]:
        kinds = {}
        for item in items:
            kinds[item["kind"]] = kinds.get(item["kind"], 0) + 1
        names = [
            i["name"] + (" " + i["wanted"] if i["wanted"] else "")
            for i in sorted(items, key=lambda i: (i["kind"] != "run", i["name"]))
        ]
        rows.append(
            [
                plain(ecosystem),
                code(file),
                ", ".join("%d %s" % (n, k) for k, n in sorted(kinds.items())),
                plain(", ".join(names[:8])) + (" …" if len(names) > 8 else ""),
            ]
        )
    lines += table(["Ecosystem", "File", "How many", "Which"], rows) or [
        "No dependencies are declared in a manifest that this checkup reads.",
        "",
    ]
    for problem in result["problems"][:12]:
        lines.append(
            "- %s%s" % (code(problem["file"]) + ": " if problem["file"] else "", plain(problem["message"]))
        )
    if len(result["problems"]) > 12:
        lines.append("- … and %d more in report.json." % (len(result["problems"]) - 12))
    return lines + ([""] if result["problems"] else [])


def hot_spot_section(data):
    lines, result = ["## Hot spots", ""], data["hot_spots"]
    if not result:
        return lines + ["The task left no result.", ""]
    if result["commits"] < 3:
        return lines + [
            "The history is too short (%s without merges) to say where the work goes."
            % count(result["commits"], "commit"),
            "",
        ]
    people = ", ".join("%s (%d)" % (plain(a["name"]), a["commits"]) for a in result["authors"][:5])
    lines += [
        "%s from %s to %s (merges left out, at most %s). %s made at least half of them. Most active: %s."
        % (
            count(result["commits"], "commit"),
            stamp(result["oldest"]),
            stamp(result["newest"]),
            number(result["limit"]),
            count(result["bus_factor"], "person", "people"),
            people,
        ),
        "",
    ]
    rows = [
        [
            code(s["file"]),
            number(s["commits"]),
            number(s["lines"]),
            number(s["churn"]),
            number(s["people"]),
            "%s (%d %%)" % (plain(s["main_author"]), s["main_share"]),
        ]
        for s in result["hot_spots"][:12]
        if s["commits"] > 1
    ]
    lines += table(
        ["File", "Commits", "Lines now", "Lines changed", "People", "Most by"], rows, right=(1, 2, 3, 4)
    )
    lines += (
        [
            (
                "Ordered by commits × lines: large files that change often are where faults and reviews cost"
                " most."
            ),
            "",
        ]
        if rows
        else []
    )
    pairs = [t for t in result["together"] if not t["natural"]][:8]
    if pairs:
        lines += [
            (
                "Files that change together without sharing a name (a hidden dependency, or one thing in two"
                " places):"
            ),
            "",
        ]
        lines += table(
            ["File", "and", "Together", "Share"],
            [
                [code(t["files"][0]), code(t["files"][1]), number(t["together"]), "%d %%" % t["share"]]
                for t in pairs
            ],
            right=(2, 3),
        )
    if result["single_author"]:
        lines += [
            "%s with at least five commits only ever changed by one person."
            % count(result["single_author"], "file was", "files were"),
            "",
        ]
    return lines


def stamp(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")


def fix_section(data, state):
    lines, result = ["## Automatic fix", ""], data["fix"]
    if not result or state not in ("", "succeeded"):
        return lines + [
            "The fix was not applied%s." % (": the task ended as %s" % plain(state) if state else ""),
            "",
        ]
    if not result["changed"]:
        return lines + [
            (
                "Nothing to fix: no trailing white space, missing last line end or missing execute permission"
                " where a change is safe."
                if not result["waiting"]
                else "No file was changed, because max_fix_files is %d; %s could be."
                % (result["limit"], count(result["waiting"], "file"))
            ),
            "",
        ]
    lines += [
        "%s changed on this branch. Verified: only white space at line ends and file modes differ, changed"
        " Python, shell and JSON files still parse."
        % count(len(result["changed"]), "file was", "files were"),
        "",
    ]
    lines += table(
        ["File", "Trailing white space", "Last line end", "Made executable"],
        [
            [
                code(c["file"]),
                count(c["lines"], "line") if c["lines"] else "",
                "added" if c["final_newline"] else "",
                "yes" if c["executable"] else "",
            ]
            for c in result["changed"][:25]
        ],
    )
    if len(result["changed"]) > 25:
        lines += ["… and %s." % count(len(result["changed"]) - 25, "more file"), ""]
    if result["waiting"]:
        lines += [
            "%s could be fixed too; the limit %s is %d for one run."
            % (count(result["waiting"], "more file"), code("max_fix_files"), result["limit"]),
            "",
        ]
    return lines


def not_run_section(data, task):
    rows = [
        ["build with " + code(b["system"]), code(b["folder"]), plain(b["why"])]
        for b in data["inventory"]["builds_not_run"][:20]
    ]
    rows += [
        ["build with " + code(b["system"]), code(b["folder"]), plain(b["reason"])]
        for b in data["builds"]
        if b["status"] in ("not_run", "unavailable")
    ]
    rows += [
        ["analysis with " + code(a["tool"]), count(a["files"], "file"), plain(a["why"])]
        for a in data["inventory"]["analyzers_not_run"]
    ]
    rows += [
        ["analysis with " + code(r["tool"]), "part of the files", plain(r["partial"])]
        for r in data["analysis"]
        if r["partial"]
    ]
    for section in TASKS:
        if task.state(section) in ("failed", "cancelled"):
            rows.append(["task " + code(section), "", "it ended as " + task.state(section)])
    if data["secrets"] and data["secrets"]["skipped_files"]:
        rows.append(["secret scan", count(data["secrets"]["skipped_files"], "file"), "the time was over"])
    if data["inventory"]["history"]["shallow"]:
        rows.append(["history", "", "the clone is shallow: only a part of the history is here"])
    if data["inventory"]["totals"].get("submodules"):
        rows.append(
            [
                "submodules",
                number(data["inventory"]["totals"]["submodules"]),
                "their content belongs to other repositories",
            ]
        )
    lines = ["## What was not run", ""]
    return lines + (
        table(["What", "Where", "Why"], rows) or ["Everything that applies to this repository was run.", ""]
    )
