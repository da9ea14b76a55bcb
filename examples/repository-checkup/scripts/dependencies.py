"""Task `dependencies-and-licences`: what the repository says it needs, how exactly, and under which
licences it stands.
"""

import json
import os
import re
from collections import Counter

import licences
import tomllib_compat
from common import Deadline, Task, clip, read_file, say, show, stays_inside, tracked_files
from languages import PROGRAMMING, is_example, is_generated, is_test, is_test_data, is_vendored, language_of

MAX_BYTES = 8 << 20
MAX_LISTED = 400
SECONDS = 120


class Dependencies:
    def __init__(self):
        self.items = []
        self.problems = []
        self.declared = []  # (file, licence) of manifests
        self.manifests = []

    def add(self, ecosystem, name, wanted, kind, file, locked=""):
        self.items.append(
            {
                "ecosystem": ecosystem,
                "name": clip(name, 100),
                "wanted": clip(wanted, 80),
                "kind": kind,
                "file": file,
                "locked": clip(locked, 40),
            }
        )

    def problem(self, identity, file, message):
        self.problems.append({"id": identity, "file": file, "message": clip(message, 200)})


def _object(value):
    return value if isinstance(value, dict) else {}


def package_json(found, file, text, beside):
    package = _object(json.loads(text))
    licence = package.get("license")
    licence = licence.get("type") if isinstance(licence, dict) else licence
    if isinstance(licence, str):
        found.declared.append((file, licence))
    elif package.get("name") and not package.get("private"):
        found.problem("no-licence-field", file, "a package that can be published says no licence")
    lock = _object(json.loads(beside("package-lock.json") or beside("npm-shrinkwrap.json") or "{}"))
    locked = {}
    for path, entry in _object(lock.get("packages")).items():
        if path.startswith("node_modules/"):
            locked[path[len("node_modules/") :]] = str(_object(entry).get("version", ""))
    for name, entry in _object(lock.get("dependencies")).items():
        locked.setdefault(name, str(_object(entry).get("version", "")))
    has_lock = bool(lock) or any(
        beside(name) is not None for name in ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
    )
    total = 0
    for key, kind in (
        ("dependencies", "run"),
        ("devDependencies", "development"),
        ("peerDependencies", "peer"),
        ("optionalDependencies", "optional"),
    ):
        for name, wanted in sorted(_object(package.get(key)).items()):
            total += kind in ("run", "development")
            wanted = str(wanted)
            found.add("npm", name, wanted, kind, file, locked.get(name, ""))
            if kind != "peer" and (
                wanted.strip() in ("", "*", "latest", "x") or re.match(r"^>=?\s*\d[^<]*$", wanted)
            ):
                found.problem(
                    "unbounded", file, "%s accepts any later version (%s)" % (name, wanted or "nothing given")
                )
            elif re.match(r"^(git(\+|:)|https?:|github:)|^[\w-]+/[\w.-]+$", wanted) and not re.search(
                r"#(semver:|[0-9a-f]{40})", wanted
            ):
                found.problem(
                    "not-a-release",
                    file,
                    "%s comes from %s and no commit is named" % (name, clip(wanted, 60)),
                )
            if (
                lock
                and kind in ("run", "development")
                and name not in locked
                and not wanted.startswith(("file:", "link:", "workspace:"))
            ):
                found.problem("lock-drift", file, "%s is not in the lock file" % name)
    if total and not has_lock:
        run = len(_object(package.get("dependencies")))
        found.problem(
            "no-lock",
            file,
            "%d packages (%d at run time) without a lock file: two installations can differ" % (total, run),
        )


def cargo_toml(found, file, text, beside):
    manifest = tomllib_compat.loads(text)
    package = _object(manifest.get("package"))
    if isinstance(package.get("license"), str):
        found.declared.append((file, package["license"]))
    lock_text = beside("Cargo.lock")
    locked = {}
    if lock_text:
        locked = dict(re.findall(r'\[\[package\]\]\nname = "([^"]+)"\nversion = "([^"]+)"', lock_text))
    tables = [(manifest, "")] + [(_object(t), "") for t in _object(manifest.get("target")).values()]
    if "workspace" in manifest:
        tables.append((_object(manifest["workspace"]), ""))
    count = 0
    for table, _ in tables:
        for key, kind in (
            ("dependencies", "run"),
            ("dev-dependencies", "development"),
            ("build-dependencies", "build"),
        ):
            for name, spec in sorted(_object(table.get(key)).items()):
                wanted = spec if isinstance(spec, str) else _object(spec).get("version", "")
                source = _object(spec) if isinstance(spec, dict) else {}
                if "path" in source or source.get("workspace"):
                    continue
                count += 1
                found.add("cargo", name, wanted or source.get("git", ""), kind, file, locked.get(name, ""))
                if wanted == "*":
                    found.problem("unbounded", file, "%s accepts any version" % name)
                if "git" in source and "rev" not in source:
                    found.problem("not-a-release", file, "%s comes from git and no commit is named" % name)
    if count and not lock_text and not os.path.exists("Cargo.lock"):
        found.problem("no-lock", file, "%d crates without Cargo.lock" % count)


def go_mod(found, file, text, beside):
    replaced = re.findall(r"^\s*(?:replace\s+)?(\S+)(?: v\S+)? => (\.\S*|/\S*)", text, re.MULTILINE)
    lines = re.findall(r"^require (\S+ v\S+.*)$", text, re.MULTILINE)
    for block in re.findall(r"^require \((.*?)^\)", text, re.MULTILINE | re.DOTALL):
        lines += [
            line.strip() for line in block.splitlines() if line.strip() and not line.strip().startswith("//")
        ]
    for line in lines:
        parts = line.split()
        if len(parts) >= 2:
            found.add(
                "go", parts[0], parts[1], "indirect" if "// indirect" in line else "run", file, parts[1]
            )
    if lines and beside("go.sum") is None:
        found.problem("no-lock", file, "%d modules without go.sum: their content is not pinned" % len(lines))
    for name, target in replaced:
        found.problem("replaced", file, "%s is replaced by the folder %s" % (name, target))


_REQUIREMENT = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*([^;#]*)")


def _requirement(found, line, kind, file, pinned_expected):
    match = _REQUIREMENT.match(line.strip())
    if not match:
        return
    name, wanted = match.group(1), match.group(3).strip()
    found.add(
        "python",
        name,
        wanted,
        kind,
        file,
        wanted[2:].strip() if wanted.startswith("==") and "*" not in wanted else "",
    )
    if pinned_expected and not wanted and " @ " not in line:
        found.problem("unbounded", file, "%s accepts any version" % name)
    if wanted.startswith("@") and not re.search(r"@[0-9a-f]{40}", wanted):
        found.problem("not-a-release", file, "%s comes from an address and no commit is named" % name)


def requirements(found, file, text, beside):
    kind = "development" if re.search(r"dev|test|lint|doc|build", os.path.basename(file)) else "run"
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line and not line.startswith(("#", "-", "http", "git+", ".")):
            _requirement(found, line, kind, file, True)
        elif line.startswith(("git+", "-e git+")) and not re.search(r"@[0-9a-f]{40}", line):
            found.problem("not-a-release", file, "%s: no commit is named" % clip(line, 80))


def pyproject(found, file, text, beside):
    document = tomllib_compat.loads(text)
    project = _object(document.get("project"))
    licence = project.get("license")
    licence = licence.get("text") if isinstance(licence, dict) else licence
    poetry = _object(_object(document.get("tool")).get("poetry"))
    licence = licence or poetry.get("license")
    if isinstance(licence, str) and len(licence) < 60:
        found.declared.append((file, licence))
    for line in project.get("dependencies") or []:
        _requirement(found, str(line), "run", file, False)
    for lines in list(_object(project.get("optional-dependencies")).values()) + list(
        _object(document.get("dependency-groups")).values()
    ):
        for line in lines if isinstance(lines, list) else []:
            if isinstance(line, str):
                _requirement(found, line, "development", file, False)
    for line in _object(document.get("build-system")).get("requires") or []:
        _requirement(found, str(line), "build", file, False)
    for name, spec in sorted(_object(poetry.get("dependencies")).items()):
        if name != "python":
            found.add(
                "python",
                name,
                spec if isinstance(spec, str) else _object(spec).get("version", ""),
                "run",
                file,
            )


def cmake_lists(found, file, text, beside):
    text = re.sub(r"#[^\n]*", "", text)
    for name, rest in re.findall(r"\bfind_package\s*\(\s*([\w+.-]+)([^)]*)\)", text, re.IGNORECASE):
        version = re.match(r"\s+(\d[\d.]*)", rest)
        kind = "run" if "REQUIRED" in rest else "optional"
        found.add("cmake", name, version.group(1) if version else "", kind, file)
    for rest in re.findall(r"\bpkg_(?:check|search)_modules?\s*\(\s*\w+([^)]*)\)", text, re.IGNORECASE):
        for word in rest.split():
            if (
                word
                not in (
                    "REQUIRED",
                    "QUIET",
                    "IMPORTED_TARGET",
                    "GLOBAL",
                    "NO_CMAKE_PATH",
                    "NO_CMAKE_ENVIRONMENT_PATH",
                )
                and "$" not in word
            ):
                found.add("pkg-config", word, "", "run" if "REQUIRED" in rest else "optional", file)
    for name, rest in re.findall(r"\bFetchContent_Declare\s*\(\s*([\w+.-]+)([^)]*)\)", text, re.IGNORECASE):
        tag = re.search(r"GIT_TAG\s+(\S+)", rest)
        found.add("cmake-fetch", name, tag.group(1) if tag else "", "run", file)
        if "GIT_REPOSITORY" in rest and (
            not tag or not re.fullmatch(r"[0-9a-f]{40}|v?\d[\w.-]*", tag.group(1))
        ):
            found.problem(
                "not-a-release",
                file,
                "%s is fetched from git at %s" % (name, tag.group(1) if tag else "no tag"),
            )


def debian_control(found, file, text, beside):
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for field, kind in (("Build-Depends", "build"), ("Build-Depends-Indep", "build"), ("Depends", "run")):
        for value in re.findall(r"^%s:((?:.*\n)(?:[ \t].*\n)*)" % field, text + "\n", re.MULTILINE):
            for part in value.replace("\n", " ").split(","):
                match = re.match(r"\s*([a-z0-9][a-z0-9+.-]+)\s*(?::\w+)?\s*(\([^)]*\))?", part)
                if match:
                    found.add("debian", match.group(1), (match.group(2) or "").strip("()"), kind, file)


def configure_ac(found, file, text, beside):
    text = re.sub(r"^\s*(dnl|#).*$", "", text, flags=re.MULTILINE)
    for name in re.findall(r"\bAC_(?:CHECK|SEARCH)_LIBS?\(\s*\[?([\w+.-]+)\]?", text):
        found.add("autoconf", name, "", "optional", file)
    for modules in re.findall(r"\bPKG_CHECK_MODULES\(\s*\[?\w+\]?\s*,\s*\[?([^\],)]+)", text):
        for name, version in re.findall(r"([A-Za-z][\w+.-]*)\s*(?:>=\s*([\d.]+))?", modules):
            found.add("pkg-config", name, version, "run", file)


def pom_xml(found, file, text, beside):
    for group, name, version in re.findall(
        r"<dependency>\s*<groupId>([^<]+)</groupId>\s*<artifactId>([^<]+)</artifactId>"
        r"(?:\s*<version>([^<]+)</version>)?",
        text,
    ):
        found.add("maven", "%s:%s" % (group, name), version, "run", file)
        if version in ("LATEST", "RELEASE") or version.endswith("-SNAPSHOT"):
            found.problem("unbounded", file, "%s:%s has the moving version %s" % (group, name, version))


PARSERS = [
    (re.compile(pattern), parser)
    for pattern, parser in (
        (r"package\.json", package_json),
        (r"Cargo\.toml", cargo_toml),
        (r"go\.mod", go_mod),
        (r"requirements[^/]*\.(txt|in)", requirements),
        (r"pyproject\.toml", pyproject),
        (r"CMakeLists\.txt|[^/]+\.cmake", cmake_lists),
        (r"configure\.(ac|in)", configure_ac),
        (r"pom\.xml", pom_xml),
    )
]


def parser_of(path):
    if path == "debian/control":
        return debian_control
    name = os.path.basename(path)
    for pattern, parser in PARSERS:
        if pattern.fullmatch(name):
            return parser
    return None


def parse_manifests(files, deadline):
    found = Dependencies()
    for file in files:
        path = show(file.path)
        parser = parser_of(path)
        if (
            parser is None
            or is_vendored(path)
            or is_test_data(path)
            or is_test(path)
            or is_example(path)
            or deadline.passed()
        ):
            continue
        content = read_file(file.path, MAX_BYTES)
        if content is None:
            continue
        folder = os.path.dirname(file.path)

        def beside(name, inside=folder):
            data = read_file(os.path.join(inside, name.encode()), MAX_BYTES)
            return None if data is None else data.decode("utf-8", "replace")

        try:
            parser(found, path, content.decode("utf-8", "replace"), beside)
            found.manifests.append(path)
        except tomllib_compat.Unavailable:
            found.problem("not-read", path, "this Python has no TOML parser")
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            found.problem("unreadable", path, "cannot be read: %s" % clip(error, 120))
    unique = {}
    for item in found.items:
        unique.setdefault((item["ecosystem"], item["name"], item["file"], item["kind"]), item)
    found.items = sorted(unique.values(), key=lambda d: (d["ecosystem"], d["file"], d["kind"], d["name"]))
    return found


def parse_licences(files, deadline):
    """Licence files with what they contain, and how many source files carry an SPDX line."""
    texts, spdx, sources, partial = [], Counter(), 0, False
    for file in files:
        path = show(file.path)
        named = licences.LICENCE_FILE.search(path) and not licences.NOT_A_LICENCE.search(path)
        if named and not is_test_data(path):
            content = read_file(file.path, 256 << 10) or b""
            texts.append(
                {
                    "file": path,
                    "licences": licences.recognise(content.decode("utf-8", "replace")),
                    "vendored": is_vendored(path),
                }
            )
            continue
        if deadline.passed():
            partial = True
            continue
        by_name = language_of(file.path)
        if is_vendored(path) or (by_name is not None and by_name not in PROGRAMMING):
            continue
        head = read_file(file.path, 4096) or b""
        if language_of(file.path, head) in PROGRAMMING and not is_generated(path, head):
            sources += 1
            expression = licences.spdx_of(head)
            if expression:
                spdx[expression] += 1
    texts.sort(key=lambda t: (t["vendored"], t["file"].count("/"), t["file"]))
    return texts, spdx, sources, partial


def judge_licences(found, texts, spdx):
    """What does not fit together."""
    own = [t for t in texts if not t["vendored"]]
    main = {
        name for t in own if "/" not in t["file"] or t["file"] == "debian/copyright" for name in t["licences"]
    }
    if not own:
        found.problem("no-licence", "", "there is no licence file: by default nobody else may use this code")
    elif not any(t["licences"] for t in own):
        found.problem(
            "unknown-licence", own[0]["file"], "the licence text is none of those that this checkup knows"
        )
    families = {licences.normal(name) for name in main}
    for file, declared in found.declared:
        named = licences.family(declared)
        if (
            families
            and named
            and not named & families
            and not re.search(r"SEE LICENSE|UNLICENSED|proprietary", declared, re.IGNORECASE)
        ):
            found.problem(
                "licence-mismatch",
                file,
                "it says %s, the licence files say %s" % (declared, ", ".join(sorted(main))),
            )
    for expression in spdx:
        if families and not licences.family(expression) & families:
            found.problem(
                "spdx-differs",
                "",
                "%d files are marked %s, the licence files say %s"
                % (spdx[expression], expression, ", ".join(sorted(main))),
            )
    return sorted(main)


def main():
    task = Task()
    files = [f for f in tracked_files() if f.regular and stays_inside(f.path)]
    deadline = Deadline(SECONDS)
    found = parse_manifests(files, deadline)
    texts, spdx, sources, partial = parse_licences(files, deadline)
    main_licences = judge_licences(found, texts, spdx)
    found.problems.sort(key=lambda p: (p["id"], p["file"], p["message"]))
    counts = Counter(item["ecosystem"] for item in found.items)
    problems = Counter(p["id"] for p in found.problems)
    say(
        "dependencies: %d in %d manifests (%s)"
        % (
            len(found.items),
            len(found.manifests),
            ", ".join("%s %d" % c for c in sorted(counts.items())) or "none",
        )
    )
    say(
        "licences: %s; %d of %d source files have an SPDX line"
        % (", ".join(main_licences) or "none known", sum(spdx.values()), sources)
    )
    for problem in found.problems[:40]:
        say(
            "  %s: %s%s"
            % (problem["id"], problem["file"] + ": " if problem["file"] else "", problem["message"])
        )
    task.finish(
        {"dependencies": len(found.items), "licences": main_licences, "problems": dict(problems)},
        {
            "dependencies.json": {
                "dependencies": found.items[:MAX_LISTED],
                "count": len(found.items),
                "by_ecosystem": dict(counts),
                "manifests": found.manifests[:100],
                "problems": found.problems[:200],
                "problem_counts": dict(problems),
                "licence_files": texts[:60],
                "licences": main_licences,
                "declared": [list(d) for d in found.declared[:50]],
                "spdx": dict(spdx.most_common(20)),
                "spdx_files": sum(spdx.values()),
                "source_files": sources,
                "partial": partial,
            }
        },
    )


if __name__ == "__main__":
    main()
