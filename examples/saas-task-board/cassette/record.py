#!/usr/bin/env python3
"""Records cassette.jsonl again: `cassette/record.py [--check] [--ez FILE]`.

A local server plays the model providers: it answers each request with the next turn of turns.py. A real `ez up
--cassette-mode record` runs the workflow against it with real workers, sandboxes, checks and merges, and its gateway
records what it sees. Because the two tasks that meet in src/app.js may end in either order, the run is recorded in both.
The result is sorted, so that it is the same to the byte each time; --check says whether the file that is there is that
result. Needs Node 18 or newer and a built ez.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import yaml

import turns
from script import HERE

EXAMPLE = HERE.parent
CASSETTE = HERE / "cassette.jsonl"
NOTE = ("Written by the maintainers, not by a model: turns.py has what is said and done, record.py played it to the gateway "
        "of ez, which recorded it. See README.md.")
# What counts for nothing when a request is looked up: how ez describes itself and its tools to a model, and where the
# repository is.
MATCH = {"ignore": ["system", "tools", "max_tokens"], "patterns": ['"repo":"[^"]*"']}
KEY = "sk-recorded-by-a-script"
# The vendors' own dialects, as they are spoken live.
DIALECTS = {"anthropic": "anthropic-messages", "openai": "openai-chat", "deepseek": "openai-chat", "mistral": "openai-chat"}
PATIENCE_S = 600


class Wrong(Exception):
    """The run does not go as turns.py says."""


def text_of(content) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


class Heard(NamedTuple):
    """A request as both dialects mean it."""
    opening: str  # the first words to the model
    spoken: int  # how often it has spoken
    first_calls: list  # what it called in its first turn
    results: list  # of its last calls, in their order: (error, text); Chat Completions leave open what is an error


def heard(dialect: str, body: dict) -> Heard:
    messages = [message for message in body["messages"] if message["role"] not in ("system", "developer")]
    said = [message for message in messages if message["role"] == "assistant"]
    last = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=len(messages))
    if dialect == "anthropic-messages":
        calls = [part["input"] for part in said[0]["content"] if part["type"] == "tool_use"] if said else []
        results = [(part.get("is_error", False), text_of(part["content"])) for message in messages[last:]
                   for part in message["content"] if part["type"] == "tool_result"]
    else:
        calls = [json.loads(each["function"]["arguments"]) for each in said[0]["tool_calls"]] if said else []
        results = [(None, text_of(message["content"])) for message in messages[last:] if message["role"] == "tool"]
    return Heard(text_of(messages[0]["content"]), len(said), calls, results)


def tokens(text: str) -> int:
    """Nobody counts tokens here: four bytes each, and the folder of the repository does not count."""
    return len(re.sub(r'"repo": ?"[^"]*"', "", text).encode()) // 4


def messages_stream(name: str, model: str, turn, usage: tuple[int, int]) -> str:
    events = []

    def event(kind: str, **members):
        events.append(f"event: {kind}\ndata: {json.dumps({'type': kind, **members}, ensure_ascii=False)}\n\n")

    event("message_start", message={
        "id": f"msg_{name}", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": usage[0], "output_tokens": 1}})
    index = 0
    if turn.text:
        event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": turn.text})
        event("content_block_stop", index=0)
        index = 1
    for number, call in enumerate(turn.calls):
        event("content_block_start", index=index, content_block={
            "type": "tool_use", "id": f"toolu_{name}_{number}", "name": call.name, "input": {}})
        event("content_block_delta", index=index, delta={
            "type": "input_json_delta", "partial_json": json.dumps(call.input, ensure_ascii=False)})
        event("content_block_stop", index=index)
        index += 1
    event("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": usage[1]})
    event("message_stop")
    return "".join(events)


def chat_stream(name: str, model: str, turn, usage: tuple[int, int]) -> str:
    chunks = []

    def chunk(delta: dict | None, finish=None, **members):
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        body = {"id": f"chatcmpl_{name}", "object": "chat.completion.chunk", "created": 1764115200, "model": model,
                "choices": choices, **members}
        chunks.append(f"data: {json.dumps(body, ensure_ascii=False)}\n\n")

    chunk({"role": "assistant", "content": turn.text or None})
    for number, call in enumerate(turn.calls):
        chunk({"tool_calls": [{"index": number, "id": f"call_{name}_{number}", "type": "function", "function": {
            "name": call.name, "arguments": json.dumps(call.input, ensure_ascii=False)}}]})
    chunk({}, "tool_calls")
    chunk(None, usage={"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)})
    return "".join(chunks) + "data: [DONE]\n\n"


class Provider:
    """All four providers at once. `first` of the two tasks that meet ends before the other may."""

    def __init__(self, workflow: dict, first: str):
        self.first = first
        self.second = next((task for task in turns.MEETING if task != first), None)
        self.opening = {task["prompt"].splitlines()[0]: task["id"] for task in workflow["tasks"] if "prompt" in task}
        self.lock = threading.Lock()
        self.begun: dict[str, int] = {}
        self.problems: list[str] = []
        self.passed = threading.Event()  # the first of the two is merged
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # the name that http.server asks for
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                dialect = "anthropic-messages" if self.path.endswith("/messages") else "openai-chat"
                try:
                    status, kind, answer = 200, "text/event-stream", provider.answer(dialect, body)
                except Wrong as wrong:
                    provider.problems.append(str(wrong))
                    status, kind = 400, "application/json"
                    answer = json.dumps({"error": {"type": "invalid_request_error", "message": str(wrong)}})
                data = answer.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, dialect: str, body: dict) -> str:
        opening, spoken, first_calls, results = heard(dialect, body)
        first_line = opening.strip().splitlines()[0]
        task = turns.RESOLVER if first_line.startswith(turns.RESOLVER_OPENING) else self.opening.get(first_line)
        if task is None:
            raise Wrong(f"nobody knows what to do about: {opening[:200]}")
        attempts = turns.TASKS[task]
        if spoken == 0:
            with self.lock:
                attempt = self.begun.get(task, 0)
                self.begun[task] = attempt + 1
        else:
            begun = [[call.input for call in script[0].calls] for script in attempts]
            attempt = begun.index(first_calls) if first_calls in begun else len(begun)
        if attempt >= len(attempts) or spoken >= len(attempts[attempt]):
            raise Wrong(f"{task}: turn {spoken + 1} of attempt {attempt + 1} is not written; told: {results}")
        if spoken > 0:
            self.look_at(task, attempts[attempt][spoken - 1], results)
        turn = attempts[attempt][spoken]
        if task == self.second and turn.calls[-1].name == "finish" and not self.passed.wait(PATIENCE_S):
            raise Wrong(f"{self.first} was not merged")
        name = f"{task}_{attempt + 1}_{spoken + 1:02d}"
        said = json.dumps([turn.text, [call.input for call in turn.calls]], ensure_ascii=False)
        usage = (tokens(json.dumps(body["messages"], ensure_ascii=False)), tokens(said))
        write = messages_stream if dialect == "anthropic-messages" else chat_stream
        return write(name, body["model"], turn, usage)

    @staticmethod
    def look_at(task: str, turn, results: list):
        """Whether the calls of the turn went as they should. Chat Completions do not say what is an error: its text does."""
        for number, call in enumerate(turn.calls):
            error, text = results[number] if number < len(results) else (True, "no result")
            if error is None:
                good = ("exit status 0", "created ", "replaced ", "patched:", "accepted")
                silent = ("read_file", "list_files", "search")
                error = call.name not in silent and not text.startswith(good)
            if error != call.fails:
                raise Wrong(f"{task}: {call.name} {'failed' if error else 'did not fail'}: {text[:2000]}")


def call(data: Path, path: str) -> dict:
    url = json.loads((data / "server.json").read_text())["url"]
    request = urllib.request.Request(url + path, headers={"Authorization": "Bearer " + (data / "token").read_text().strip()})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def new_repository(folder: Path):
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    (folder / "PRODUCT.md").write_bytes((EXAMPLE / "start/PRODUCT.md").read_bytes())
    git = ["git", "-C", str(folder), "-c", "user.name=Nobody", "-c", "user.email=nobody@localhost"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "What is wanted"], check=True)


def record(ez: str, box: Path, first: str) -> list[str]:
    """The lines of one run, in which `first` of the two tasks is merged first."""
    box.mkdir()
    provider = Provider(yaml.safe_load((EXAMPLE / "workflow.yaml").read_text()), first)
    models = {"providers": {name: {"base_url": provider.url + "/v1", "dialects": [dialect], "keys": [{"env": "EZ_SCRIPT_KEY"}]}
                            for name, dialect in DIALECTS.items()}}
    (box / "models.json").write_text(json.dumps(models))
    (box / "cassette.jsonl").write_text(json.dumps({"ez_cassette": 1, "match": MATCH}) + "\n")
    new_repository(box / "repo")
    data = box / "data"
    with open(box / "server.log", "wb") as log:
        server = subprocess.Popen(
            [ez, "up", "--data", str(data), "--listen", "127.0.0.1:0", "--agents", "2", "--agent-types",
             "exec,claude,gpt,deepseek,mistral", "--models", str(box / "models.json"),
             "--cassette", str(box / "cassette.jsonl"), "--cassette-mode", "record"],
            env={**os.environ, "EZ_SCRIPT_KEY": KEY}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    pause = threading.Event()
    try:
        for _ in range(600):
            if (data / "server.json").exists() or server.poll() is not None:
                break
            pause.wait(0.1)
        subprocess.run([ez, "run", str(EXAMPLE / "workflow.yaml"), "--input", f"repo={box / 'repo'}", "--data", str(data)],
                       check=True, stdout=subprocess.DEVNULL)
        state = "running"
        while state not in ("succeeded", "failed", "cancelled", "paused") and not provider.problems:
            pause.wait(0.2)
            view = call(data, "/v1/runs/r1")
            state = view["state"]
            states = {task["id"]: task["state"] for task in view["tasks"]}
            if states.get(first) == "succeeded":
                provider.passed.set()
            if "conflict" in states.values():
                raise SystemExit(f"a merge waits for a person: {states}")
    finally:
        server.terminate()
        server.wait(60)
        provider.server.shutdown()
    if provider.problems:
        raise SystemExit("\n".join(provider.problems))
    if state != "succeeded":
        raise SystemExit(f"the run is {state}; the log of the server is {box / 'server.log'}")
    return (box / "cassette.jsonl").read_text().splitlines()[1:]


def name_of(line: dict) -> str:
    return re.search(r"(?:toolu|call)_([a-z-]+_\d+_\d+)_\d+", json.dumps(line["answer"]["chunks"])).group(1)


def tidied(recordings: list[list[str]]) -> str:
    """One cassette of several runs: by task, attempt and turn, each request once for each time that a run makes it."""
    header = {"ez_cassette": 1, "match": MATCH, "note": NOTE}
    place = {key: number for number, key in enumerate(turns.KEYS)}
    kept: dict[str, list[dict]] = {}
    for lines in recordings:
        of_run: dict[str, list[dict]] = {}
        for line in map(json.loads, lines):
            text = "".join(line["answer"]["chunks"])
            line["answer"]["chunks"] = [piece + "\n\n" for piece in text.split("\n\n") if piece]
            of_run.setdefault(line["request"]["hash"], []).append(line)
        for digest, found in of_run.items():
            if len(found) > len(kept.get(digest, [])):
                kept[digest] = found

    def order(line: dict):
        key, attempt, number = name_of(line).rsplit("_", 2)
        return place[key], int(attempt), int(number), line["request"]["hash"]

    every = sorted((line for found in kept.values() for line in found), key=order)
    dump = [json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":")) for line in [header, *every]]
    return "\n".join(dump) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file that is there, change nothing")
    parser.add_argument("--ez", default=str(EXAMPLE.parents[1] / "build/release/bin/ez"), help="the program to record with")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="ez-record-")  # kept when something goes wrong
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(record, arguments.ez, Path(folder) / first, first) for first in turns.MEETING]
        recordings = [run.result() for run in runs]
    for first, lines in zip(turns.MEETING, recordings):
        recorded = sorted(name_of(json.loads(line)) for line in lines)
        if recorded != sorted(turns.names()):
            raise SystemExit(f"record: with {first} first, these were not recorded once: "
                             f"{sorted(set(turns.names()) ^ set(recorded)) or recorded}; see {folder}")
    text = tidied(recordings)
    shutil.rmtree(folder)
    if arguments.check:
        same = CASSETTE.exists() and CASSETTE.read_text() == text
        print("record: the cassette is " + ("what is recorded" if same else "NOT what is recorded"))
        return 0 if same else 1
    CASSETTE.write_text(text)
    print(f"record: {CASSETTE}, {len(text.splitlines()) - 1} calls, {len(text.encode()) // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
