"""Cassettes for `ez new`, written by hand: no model ever said any of this. The requests are compared by their model only, so that the
planner's prompt may change; the answers come in the order in which they stand here."""
import hashlib
import json
from pathlib import Path

MODEL = "claude-opus-5-5"
HEADER = {"ez_cassette": 1, "match": {"ignore": ["system", "tools", "tool_choice", "messages", "max_tokens"]},
          "note": "Written by hand for tests/e2e/test_new.py. The files of its answers are the test's own."}

GOOD = """name: shop
description: A shop made of one file.
inputs:
  repo: {type: git}
repository: ${{ inputs.repo }}
budget: {cost_usd: 5}
defaults: {on_failure: fail, retry: {max_attempts: 1}}
tasks:
  - id: ground
    workspace: write
    run: echo shop > shop.txt
    verify: grep -q shop shop.txt
  - id: page
    dependencies: [ground]
    workspace: write
    run: echo page > page.txt
    verify: test -s page.txt
  - id: look
    dependencies: [ground]
    when: "false"
    agent: {type: claude}
    workspace: read
    prompt: Look whether the shop is pretty.
"""
NOT_YAML = "name: shop\ntasks: [\n  - {id: a\n"
NOT_VALID = "name: shop\nrepository: /r\ntasks:\n  - {id: a, run: x, dependancies: [b]}\n"


def answer(file: str, summary: str = "It sells things.", model: str = MODEL) -> dict:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "stop_reason": "tool_use",
            "stop_sequence": None, "usage": {"input_tokens": 3000, "output_tokens": 1000},
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "propose_workflow",
                         "input": {"file": file, "summary": summary, "sizes": [{"task": "look", "size": "small"}]}}]}


def write(path: Path, files: list[str]) -> Path:
    body = {"model": MODEL}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(f"POST /v1/messages\n{text}".encode()).hexdigest()
    lines = [json.dumps(HEADER)]
    for file in files:
        lines.append(json.dumps({
            "request": {"method": "POST", "path": "/v1/messages", "hash": digest, "body": body},
            "answer": {"status": 200, "headers": {"content-type": "application/json"}, "stream": False,
                       "chunks": [json.dumps(answer(file))]}}))
    path.write_text("\n".join(lines) + "\n")
    return path
