"""What to do first: the few steps that matter most, the gravest first, each with its place."""

from common import clip
from markdown import code, count, plain

MOST = 8


def advice(data, card):
    """Markdown sentences in a fixed order of gravity, at most MOST."""
    steps = []
    secrets, dependencies = data["secrets"], data["dependencies"]
    if secrets:
        high = [f for f in secrets["tree"] if f["confidence"] == "high"]
        past = [f for f in secrets["history"] if f["confidence"] == "high"]
        if high:
            steps.append(
                "**Revoke %s** and remove it from the files: %s."
                % (count(len(high), "credential"), _places(high))
            )
        if past:
            steps.append(
                "**Revoke %s that the history still holds**: %s."
                % (count(len(past), "credential"), _places(past))
            )
    text = [
        f
        for r in data["analysis"]
        if r["tool"] == "text"
        for f in r["findings"]
        if f["id"] == "conflict-marker"
    ]
    if text:
        steps.append("**Finish a merge**: conflict marks in %s." % _places(text))
    for build in data["builds"]:
        where = "" if build["folder"] == "." else " in %s" % code(build["folder"])
        if build["status"] == "failed":
            steps.append(
                "**Repair the %s build**%s: %s."
                % (build["system"], where, plain(clip(build["reason"], 160).rstrip(".")))
            )
        elif build["status"] == "timeout":
            steps.append(
                "**Find out why the %s build**%s takes so long: %s."
                % (build["system"], where, plain(build["reason"].rstrip(".")))
            )
    results = [r for r in data["analysis"] if r["tool"] != "text"]
    errors = [f for r in results for f in r["findings"] if f["severity"] == "error" and not f["test"]]
    total = sum(r["counts_outside_tests"]["error"] for r in results)
    if errors:
        first = errors[0]
        more = " and %d more" % (total - 1) if total > 1 else ""
        steps.append(
            "**Look at %s of the static analysis**: %s in %s%s."
            % (
                count(total, "error"),
                plain(clip(first["message"].rstrip("."), 100)),
                code("%s:%d" % (first["file"], first["line"])),
                more,
            )
        )
    if secrets:
        medium = [f for f in secrets["tree"] + secrets["history"] if f["confidence"] == "medium"]
        if medium:
            steps.append("**Check %s**: %s." % (count(len(medium), "possible secret"), _places(medium)))
    if dependencies:
        for identity, verb in (
            ("no-licence", "Choose a licence"),
            ("licence-mismatch", "Settle the licence"),
            ("unreadable", "Repair a manifest"),
            ("no-lock", "Add a lock file"),
            ("unbounded", "Bound versions"),
            ("not-a-release", "Name a commit or a release"),
        ):
            found = [p for p in dependencies["problems"] if p["id"] == identity]
            if found:
                steps.append(
                    "**%s**%s: %s%s."
                    % (
                        verb,
                        " in %s" % code(found[0]["file"]) if found[0]["file"] else "",
                        plain(found[0]["message"].rstrip(".")),
                        " (and %d more)" % (len(found) - 1) if len(found) > 1 else "",
                    )
                )
    if not data["inventory"]["test_files"]:
        steps.append("**Add a first test**: no test files were found.")
    spots = data["hot_spots"]
    if spots and spots["commits"] >= 20 and spots["hot_spots"] and spots["hot_spots"][0]["lines"] >= 1500:
        top = spots["hot_spots"][0]
        steps.append(
            "**Split %s**: %d lines, changed in %s."
            % (code(top["file"]), top["lines"], count(top["commits"], "commit"))
        )
    if spots and spots["commits"] >= 20 and spots["bus_factor"] == 1 and spots["author_count"] > 1:
        steps.append(
            "**Spread knowledge**: %s made at least half of the changes." % plain(spots["authors"][0]["name"])
        )
    warnings = sum(r["counts_outside_tests"]["warning"] for r in results)
    if warnings >= 10:
        kinds = sorted(
            (k for r in data["analysis"] for k in r["kinds"] if k["severity"] == "warning"),
            key=lambda k: (-k["count"], k["id"]),
        )
        steps.append(
            "**Work down %d warnings** (tests not counted), the most frequent first: %s."
            % (warnings, ", ".join("%s (%d)" % (code(k["id"]), k["count"]) for k in kinds[:3]))
        )
    fix = data["fix"]
    if fix and fix["changed"]:
        steps.append(
            "**Take over the verified fix** of %s from this branch." % count(len(fix["changed"]), "file")
        )
    if not data["inventory"]["landmarks"]["ci"]:
        steps.append("**Run the build and the tests on every change**: no continuous integration was found.")
    return steps[:MOST]


def _places(findings):
    shown = []
    for finding in findings:
        place = "%s:%d" % (finding["file"], finding["line"]) if finding["line"] else finding["file"]
        if code(place) not in shown:
            shown.append(code(place))
    return ", ".join(shown[:3]) + (" and %d more" % (len(shown) - 3) if len(shown) > 3 else "")
