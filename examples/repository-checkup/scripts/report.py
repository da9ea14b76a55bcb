"""Task `report`: joins the results of all tasks into REPORT.md (in the workspace and as an artifact) and
report.json.
"""

import os
import re

from advice import advice
from common import Task, read_file, say, to_json
from markdown import code
from report_sections import (
    MARK,
    analysis_section,
    build_section,
    dependency_section,
    first_steps,
    fix_section,
    head,
    hot_spot_section,
    inventory_section,
    not_run_section,
    secret_section,
)
from score import score


def collect(task):
    data = {
        "inventory": task.result("inventory", "inventory.json"),
        "builds": task.results("build-and-test", "build.json"),
        "analysis": task.results("static-analysis", "analysis.json"),
        "secrets": task.result("secret-scan", "secrets.json"),
        "dependencies": task.result("dependencies-and-licences", "dependencies.json"),
        "hot_spots": task.result("hot-spots", "hot-spots.json"),
        "fix": task.result("fix", "fix.json"),
    }
    if data["inventory"] is None:
        raise SystemExit("report: the inventory left no result, so there is nothing to report on")
    return data


def repository_name(path):
    name = os.path.basename(str(path).rstrip("/"))
    if name == ".git":
        name = os.path.basename(os.path.dirname(str(path).rstrip("/")))
    return name[:-4] if name.endswith(".git") else name or "repository"


def safe_target(wanted):
    """Where the report goes in the workspace: never over a file that is not a report of ours, never
    outside.
    """
    path = str(wanted or "REPORT.md")
    parts = path.split("/")
    if (
        path.startswith("/")
        or ".." in parts
        or parts[0] == ".git"
        or not path.endswith(".md")
        or "\0" in path
        or "" in parts
    ):
        raise SystemExit(
            "report: report_path must be a relative path to a .md file inside the repository, not %r" % path
        )
    for i in range(1, len(parts)):
        if os.path.islink("/".join(parts[:i])):
            raise SystemExit("report: %s leads through a symbolic link" % path)
    if os.path.lexists(path) and MARK.encode() not in (read_file(path, 4096) or b""):
        return path[:-3] + ".checkup.md"
    return path


def main():
    task = Task()
    data = collect(task)
    name = repository_name(task.inputs.get("repo", ""))
    card, overall = score(data)
    steps = advice(data, card)
    lines = (
        head(data, name, card, overall)
        + first_steps(steps)
        + inventory_section(data)
        + build_section(data)
        + analysis_section(data)
    )
    lines += (
        secret_section(data)
        + dependency_section(data)
        + hot_spot_section(data)
        + fix_section(data, task.state("fix"))
    )
    lines += not_run_section(data, task)
    lines += [
        "---",
        "",
        (
            "Every figure comes from a task of the run %s; report.json has all findings." % code(task.run)
            if task.run
            else "report.json has all findings."
        ),
    ]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
    target = safe_target(task.inputs.get("report_path"))
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)
    summary = [{"subject": s, "figure": f, "reason": r} for s, f, r in card]
    say("report: %s, %s" % (target, "overall %.1f of 10" % overall if overall is not None else "not rated"))
    for line in summary:
        say(
            "  %-26s %s  %s"
            % (
                line["subject"],
                "%2d" % line["figure"] if line["figure"] is not None else " -",
                line["reason"],
            )
        )
    task.finish(
        {
            "overall": overall if overall is not None else "not rated",
            "path": target,
            "steps": len(steps),
            "fixed": len((data["fix"] or {}).get("changed", [])),
        },
        {
            "REPORT.md": text,
            "report.json": to_json(
                {"repository": name, "overall": overall, "score": summary, "steps": steps, "results": data}
            ),
        },
    )


if __name__ == "__main__":
    main()
