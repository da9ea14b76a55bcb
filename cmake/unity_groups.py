#!/usr/bin/env python3
"""Writes the units of a program: unity_groups.py ROOT DIRECTORY FILE...

A unit is a file in DIRECTORY that includes several FILEs by their place below ROOT. Two files share a unit when they
are no larger together than LIMIT and define no name twice in their anonymous namespaces. The reading of names is
coarse on purpose: a name too many only makes the units smaller. Prints, separated by semicolons, what has to be
compiled: the units, and the files that stay alone.
"""
import re
import sys
from pathlib import Path

LIMIT = 60_000  # bytes of source
OPENS = re.compile(r"namespace \{")
CLOSES = re.compile(r"\}  // namespace$")
TYPE = re.compile(r"(?:struct|class|enum class|enum|union|using) (\w+)(?!\w*::)")
NAME = re.compile(r"(?!//|#|\}|using |namespace |static_assert|template)\S.*?\b(\w+)(?:\[\w*\])?(?: = | =$|\{|;|\()")


def private_names(text: str) -> set[str]:
    names: set[str] = set()
    inside = False
    for line in text.split("\n"):
        if OPENS.match(line):
            inside = True
        elif CLOSES.match(line):
            inside = False
        elif inside:
            found = TYPE.match(line) or NAME.match(line)
            if found:
                names.add(found.group(1))
    # Tests of one suite have one name each already; their fixtures are types and found above.
    return names - {"TEST", "TEST_F", "TEST_P"}


def group(files: list[Path]) -> list[list[Path]]:
    groups: list[tuple[int, set[str], list[Path]]] = []
    for file in sorted(files):
        text = file.read_text(encoding="utf-8")
        names = private_names(text)
        for index, (size, taken, members) in enumerate(groups):
            if size + len(text) <= LIMIT and not names & taken:
                groups[index] = (size + len(text), taken | names, [*members, file])
                break
        else:
            groups.append((len(text), names, [file]))
    return [members for _, _, members in groups]


def write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main(root: Path, directory: Path, files: list[Path]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    compiled = []
    units = set()
    for members in group(files):
        if len(members) == 1:
            compiled.append(members[0])
            continue
        # Named after a member, so that a new file elsewhere leaves the other units as they are.
        unit = directory / f"{members[0].stem}_and_{len(members) - 1}_more.cc"
        while unit in units:
            unit = unit.with_name("_" + unit.name)
        units.add(unit)
        write_if_changed(unit, "".join(f'#include "{file.relative_to(root)}"\n' for file in members))
        compiled.append(unit)
    for old in set(directory.glob("*.cc")) - units:
        old.unlink()
    print(";".join(str(path) for path in compiled))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(file).absolute() for file in sys.argv[3:]])
