"""A provider of models for the tests of command-line agents: a real HTTP server that streams hand-written replies as Anthropic
Messages, OpenAI Responses and OpenAI Chat Completions. The wire formats are those of tests/conformance/upstream.py, the replies
follow from the request:

- the conversation is offered one of the tools of the agent under test (`TOOLS`) and has no result of a call yet: a call that
  writes the file;
- it has one: a text that ends the turn;
- everything else, side calls for a title for example: a short text.

The first time it writes the wrong word, after a failed check the right one.
"""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))
from upstream import anthropic_answer, anthropic_events, chat_chunks, responses_events  # noqa: E402

SECRET = "sk-this-is-the-providers-key"
PRICES = {"dated": "2026-11-26", "models": [
    {"provider": "one", "model": "scripted-1", "input": 1_000_000, "output": 10_000_000, "cache_read": 100_000,
     "max_output_tokens": 64000}]}
MODELS = """
providers:
  one: {base_url: "%s/v1", dialects: [%s], models: ["scripted-*"], keys: [{env: EZ_TEST_KEY}]}
prices: prices.json
"""


def write_call(name: str, word: str) -> dict:
    """The arguments with which that tool of some agent writes greeting.txt."""
    command = f"printf '{word}\\n' > greeting.txt"
    return {
        "Write": {"file_path": "/workspace/greeting.txt", "content": word + "\n"},
        "Bash": {"command": command, "description": "write it"},
        "write_file": {"file_path": "/workspace/greeting.txt", "content": word + "\n"},
        "exec_command": {"cmd": command},
        "shell": {"command": ["bash", "-lc", command]},
        "shell_command": {"command": command},
    }[name]


class Provider:
    """Serves until close(). `seen` has each request as (path, headers, body)."""

    def __init__(self, tools: list[str]):
        provider = self
        self.tools = tools
        self.lock = threading.Lock()
        self.seen: list[tuple[str, dict, dict]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # the name that http.server asks for
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with provider.lock:
                    provider.seen.append((self.path, headers, body))
                provider.serve(self, self.path.partition("?")[0], body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def configure(self, folder, dialect: str) -> str:
        """Writes models.yaml and the prices; the path of the former."""
        (folder / "prices.json").write_text(json.dumps(PRICES))
        (folder / "models.yaml").write_text(MODELS % (self.url, dialect))
        return str(folder / "models.yaml")

    def reply(self, offered: list[str], has_result: bool, text: str) -> tuple[str, list]:
        tool = next((name for name in self.tools if name in offered), None)
        if tool is None:
            return self.without_tools(text)
        if has_result:
            return "The greeting is written.", []
        return "I write it.", [(tool, write_call(tool, self.word(text)))]

    @staticmethod
    def word(text: str) -> str:
        return "hello" if "check has failed" in text else "good day"

    def without_tools(self, text: str) -> tuple[str, list]:
        """Of aider: its edits are texts of a form."""
        if "greeting" not in text:
            return "A greeting", []
        return f"greeting.txt\n```\n{self.word(text)}\n```\n", []

    def serve(self, handler, path: str, body: dict):
        model = body.get("model", "")
        if path == "/v1/messages":
            last = body["messages"][-1]["content"]
            blocks = last if isinstance(last, list) else []
            offered = [tool.get("name") for tool in body.get("tools", [])]
            text, calls = self.reply(offered, any(block["type"] == "tool_result" for block in blocks), json.dumps(body["messages"]))
            if not body.get("stream"):
                return self.send_json(handler, anthropic_answer(model, text, calls))
            return self.send_events(handler, [(name, {"type": name, **data}) for name, data in anthropic_events(model, text, calls)])
        if path == "/v1/responses":
            items = body["input"]
            offered = [tool.get("name") for tool in body.get("tools", [])]
            result = any(item.get("type", "").endswith("_output") for item in items)
            text, calls = self.reply(offered, result, json.dumps(items))
            return self.send_events(handler, [(name, {"type": name, "sequence_number": number, **data}) for number, (name, data)
                                              in enumerate(responses_events(model, text, calls))])
        if path == "/v1/chat/completions":
            offered = [tool["function"]["name"] for tool in body.get("tools", [])]
            text, calls = self.reply(offered, body["messages"][-1]["role"] == "tool", json.dumps(body["messages"]))
            usage = body.get("stream_options", {}).get("include_usage", False)
            if not body.get("stream"):
                return self.send_json(handler, self.whole(list(chat_chunks(model, text, calls, True)), text))
            return self.send_events(handler, [*(("", chunk) for chunk in chat_chunks(model, text, calls, usage)), ("", "[DONE]")])
        handler.send_error(404)

    @staticmethod
    def whole(chunks: list, text: str) -> dict:
        return {"id": "c", "object": "chat.completion", "created": 1_700_000_000, "model": chunks[0]["model"],
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": chunks[-1]["usage"]}

    @staticmethod
    def send_json(handler, body: dict):
        data = json.dumps(body).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    @staticmethod
    def send_events(handler, events: list):
        text = "".join((f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
                       for name, data in events).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)
