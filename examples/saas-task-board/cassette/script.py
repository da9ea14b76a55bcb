"""The words in which turns.py says what a model does. A turn is a text and calls of tools; what is written into the product
are the real files under product/, and what they were before they were right is made from those."""
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PRODUCT = HERE / "product"


class Call(NamedTuple):
    name: str
    input: dict
    fails: bool = False  # whether its result is an error, which the recording makes sure of


class Turn(NamedTuple):
    text: str
    calls: list[Call]


def turn(text: str, *calls: Call) -> Turn:
    return Turn(text, list(calls))


def product(path: str, *replaced: tuple[str, str]) -> str:
    """A file of the product; with pairs (as it is, as it was first) an earlier state of it."""
    text = (PRODUCT / path).read_text()
    for now, before in replaced:
        if text.count(now) != 1:
            raise SystemExit(f"turns.py: this is in {path} {text.count(now)} times, once is wanted: {now!r}")
        text = text.replace(now, before)
    return text


def read(path: str, **more) -> Call:
    return Call("read_file", {"path": path, **more})


def files(**where) -> Call:
    return Call("list_files", where)


def search(pattern: str, **where) -> Call:
    return Call("search", {"pattern": pattern, **where})


def write(path: str, *replaced: tuple[str, str], content: str | None = None) -> Call:
    return Call("write_file", {"path": path, "content": product(path, *replaced) if content is None else content})


def edit(path: str, old: str, new: str) -> Call:
    return Call("edit_file", {"path": path, "old_text": old, "new_text": new})


def patch(text: str) -> Call:
    return Call("apply_patch", {"patch": text})


def run(command: str, fails: bool = False) -> Call:
    return Call("run_command", {"command": command}, fails)


def tests(*names: str, fails: bool = False) -> Call:
    """Runs tests of the project, and says the same whatever the time it took and the version of Node."""
    paths = " ".join(f"tests/{name}.test.js" for name in names)
    return run(f"node --test --test-reporter=tap {paths} > /tmp/tests.log && echo passed"
               " || { grep -E '^ *not ok' /tmp/tests.log | grep -v '[.]js$'; false; }", fails)


def finish(summary: str, output=None) -> Call:
    return Call("finish", {"summary": summary} if output is None else {"summary": summary, "output": output})
