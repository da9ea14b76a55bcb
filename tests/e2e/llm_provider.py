"""A provider of models for tests: plays a script of tool calls, in the Messages dialect or as Chat Completions, streamed."""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRICES = {"dated": "2026-11-22", "models": [
    {"provider": "one", "model": "scripted-1", "input": 1_000_000, "output": 10_000_000, "max_output_tokens": 1000}]}
SECRET = "sk-this-is-the-providers-key"
MODELS = """
providers:
  one: {base_url: "%s/v1", dialects: [%s], models: ["scripted-*"], keys: [{env: EZ_TEST_KEY}]}
prices: prices.json
"""


def messages_stream(turn: int, name: str, arguments: dict) -> str:
    def event(kind: str, **members) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"

    text = json.dumps(arguments)
    half = len(text) // 2
    return "".join([
        event("message_start", message={"id": f"m{turn}", "type": "message", "role": "assistant", "model": "scripted-1",
                                        "content": [], "stop_reason": None, "stop_sequence": None,
                                        "usage": {"input_tokens": 100, "output_tokens": 1}}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"Turn {turn}."}),
        event("content_block_stop", index=0),
        event("content_block_start", index=1, content_block={"type": "tool_use", "id": f"t{turn}", "name": name,
                                                             "input": {}}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": text[:half]}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": text[half:]}),
        event("content_block_stop", index=1),
        event("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 20}),
        event("message_stop"),
    ])


def chat_stream(turn: int, name: str, arguments: dict) -> str:
    def chunk(delta: dict, finish=None, usage=None) -> str:
        body = {"id": f"c{turn}", "object": "chat.completion.chunk", "created": 1, "model": "scripted-1",
                "choices": [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]}
        if usage:
            body["usage"] = usage
        return f"data: {json.dumps(body)}\n\n"

    text = json.dumps(arguments)
    half = len(text) // 2
    call = {"index": 0, "id": f"t{turn}", "type": "function", "function": {"name": name, "arguments": text[:half]}}
    return "".join([
        chunk({"role": "assistant", "content": f"Turn {turn}."}),
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": text[half:]}}]}),
        chunk({}, "tool_calls"),
        chunk({}, usage={"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}),
        "data: [DONE]\n\n",
    ])


class Provider:
    """One call of a tool for each request; the last one again and again."""

    def __init__(self, script: list, stream=messages_stream):
        provider = self
        self.script = script
        self.requests: list = []
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # the name that http.server asks for
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with provider.lock:
                    provider.requests.append(body)
                    turn = len(provider.requests) - 1
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(stream(turn, *script[min(turn, len(script) - 1)]).encode())
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def told(self) -> list:
        """What the model got back after each of its turns, as JSON texts."""
        return [json.dumps(request["messages"][-1], ensure_ascii=False) for request in self.requests[1:]]

    def configure(self, folder, dialect: str = "anthropic-messages") -> str:
        """Writes models.yaml and the prices; the path of the former."""
        (folder / "prices.json").write_text(json.dumps(PRICES))
        (folder / "models.yaml").write_text(MODELS % (self.url, dialect))
        return str(folder / "models.yaml")
