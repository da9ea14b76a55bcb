"""A scripted provider: a real HTTP server that speaks the wire formats of Anthropic Messages, OpenAI Chat Completions and
OpenAI Responses, written from the vendors' public references and sharing nothing with the sources of ez.

It is as strict as the vendors about what it is sent (ids of calls and their results belong together, members have their
names, roles their order), because half of a translation is what the provider gets. What it answers follows from the
request alone:

- a message of the user that contains "fail:STATUS" gives an error of that status;
- tools and no results yet: a text and two calls, `add` and `lookup`;
- results of calls: a text that repeats them, "results: …";
- otherwise a text that repeats what the user said, "you said: …".
"""
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CALLS = [("add", {"a": 17, "b": 4}), ("lookup", {"city": "Málaga"})]
SAFE_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


class Refused(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def need(condition, message: str):
    if not condition:
        raise Refused(400, message)


def only(value: dict, names: str, where: str):
    for name in value:
        need(name in names.split(), f"{where}: unknown member {name}")


class Asked:
    """What a request says, whatever its dialect."""

    def __init__(self):
        self.system = ""
        self.texts: list[str] = []      # of the user, in order
        self.images = 0
        self.results: list[str] = []    # of the last round
        self.tools: list[str] = []
        self.stream = False
        self.schema = None


class Conversation:
    """Calls and results in their order: every call is answered at once and by its id."""

    def __init__(self):
        self.open: list[str] = []

    def call(self, ident: str):
        need(SAFE_ID.match(ident or ""), f"id of a call: {ident!r}")
        need(ident not in self.open, f"id of a call twice: {ident}")
        self.open.append(ident)

    def result(self, ident: str):
        need(ident in self.open, f"a result for a call that is not there: {ident}")
        self.open.remove(ident)

    def over(self, what: str):
        need(not self.open, f"{what} while calls have no results: {self.open}")


def read_anthropic(body: dict) -> Asked:
    only(body, "model max_tokens messages system tools tool_choice temperature top_p top_k stop_sequences stream metadata "
               "thinking output_config", "request")
    need(isinstance(body.get("max_tokens"), int), "max_tokens: required")
    asked, talk, last = Asked(), Conversation(), None
    system = body.get("system", "")
    asked.system = system if isinstance(system, str) else "\n\n".join(part["text"] for part in system)
    asked.tools = [tool["name"] for tool in body.get("tools", [])]
    for tool in body.get("tools", []):
        only(tool, "name description input_schema cache_control", "tool")
        need(tool["input_schema"]["type"] == "object", "input_schema.type: object")
    for message in body["messages"]:
        only(message, "role content", "message")
        need(message["role"] in ("user", "assistant"), "role")
        need(message["role"] != last, "roles must alternate")
        last = message["role"]
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        need(blocks, "content is empty")
        results = []
        for place, block in enumerate(blocks):
            kind = block["type"]
            if kind == "text":
                only(block, "type text cache_control", "text")
                need(block["text"], "text content blocks must be non-empty")
                if last == "user":
                    asked.texts.append(block["text"])
            elif kind == "image":
                need(block["source"]["type"] == "base64" and block["source"]["media_type"].startswith("image/"), "source")
                asked.images += 1
            elif kind == "tool_use":
                need(last == "assistant" and isinstance(block["input"], dict), "tool_use")
                talk.call(block["id"])
            elif kind == "tool_result":
                need(last == "user" and place == len(results), "tool_result blocks come first")
                talk.result(block["tool_use_id"])
                inner = block.get("content", "")
                results.append(inner if isinstance(inner, str) else "".join(part.get("text", "") for part in inner))
            else:
                raise Refused(400, f"content block {kind}")
        if last == "user":
            talk.over("a turn of the user")
            asked.results = results
    need(last == "user", "the conversation must end with a user message")
    asked.stream = body.get("stream", False)
    asked.schema = body.get("output_config", {}).get("format", {}).get("schema")
    return asked


def read_chat(body: dict) -> Asked:
    only(body, "model messages max_tokens max_completion_tokens tools tool_choice parallel_tool_calls temperature top_p stop "
               "stream stream_options response_format reasoning_effort user seed n", "request")
    asked, talk = Asked(), Conversation()
    for tool in body.get("tools", []):
        need(tool["type"] == "function", "tool.type")
        only(tool["function"], "name description parameters strict", "function")
        asked.tools.append(tool["function"]["name"])
    for message in body["messages"]:
        role = message["role"]
        content = message.get("content")
        if role == "tool":
            only(message, "role tool_call_id content", "message")
            need(isinstance(content, str) or all(part["type"] == "text" for part in content), "content of a tool: text")
            talk.result(message["tool_call_id"])
            asked.results.append(content if isinstance(content, str) else "".join(part["text"] for part in content))
            continue
        talk.over(f"a message of {role}")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if role == "system":
            asked.system = "\n\n".join(part["text"] for part in parts)
        elif role == "user":
            only(message, "role content name", "message")
            asked.results = []
            for part in parts:
                if part["type"] == "image_url":
                    need(part["image_url"]["url"].startswith("data:image/"), "image_url")
                    asked.images += 1
                else:
                    asked.texts.append(part["text"])
        elif role == "assistant":
            only(message, "role content tool_calls refusal name", "message")
            asked.results = []
            need(content is not None or message.get("tool_calls"), "an assistant message has content or tool_calls")
            for call in message.get("tool_calls", []):
                need(call["type"] == "function", "tool_calls.type")
                json.loads(call["function"]["arguments"])
                talk.call(call["id"])
        else:
            raise Refused(400, f"role {role}")
    talk.over("the end")
    asked.stream = body.get("stream", False)
    need(asked.stream or "stream_options" not in body, "stream_options without stream")
    asked.schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    return asked


def read_responses(body: dict) -> Asked:
    only(body, "model input instructions max_output_tokens tools tool_choice parallel_tool_calls temperature top_p stream store "
               "text reasoning include user metadata", "request")
    asked, talk = Asked(), Conversation()
    asked.system = body.get("instructions", "")
    for tool in body.get("tools", []):
        need(tool["type"] == "function", "tool.type")
        only(tool, "type name description parameters strict", "tool")
        asked.tools.append(tool["name"])
    items = body["input"]
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        kind = item.get("type", "message")
        if kind == "function_call":
            json.loads(item["arguments"])
            talk.call(item["call_id"])
            asked.results = []
        elif kind == "function_call_output":
            talk.result(item["call_id"])
            output = item["output"]
            asked.results.append(output if isinstance(output, str) else "".join(part.get("text", "") for part in output))
        elif kind == "message":
            talk.over("a message")
            content = item["content"]
            output = item["role"] == "assistant"
            parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
            for part in parts:
                if part["type"] == "input_image":
                    need(part["image_url"].startswith("data:image/"), "image_url")
                    asked.images += 1
                else:
                    need(isinstance(content, str) or part["type"] == ("output_text" if output else "input_text"), "part.type")
                    if item["role"] == "user":
                        asked.texts.append(part["text"])
            if item["role"] == "user":
                asked.results = []
        elif kind != "reasoning":
            raise Refused(400, f"item {kind}")
    talk.over("the end")
    asked.stream = body.get("stream", False)
    asked.schema = body.get("text", {}).get("format", {}).get("schema")
    return asked


def answer_of(asked: Asked) -> tuple[str, list]:
    said = asked.texts[-1] if asked.texts else ""
    failing = re.search(r"fail:(\d+)", said)
    if failing:
        raise Refused(int(failing.group(1)), "scripted failure")
    if asked.schema:
        return json.dumps({"city": "Paris"}), []
    if asked.results:
        return "results: " + " | ".join(asked.results), []
    if asked.tools:
        need(asked.tools == ["add", "lookup"], f"tools: {asked.tools}")
        return "Let me see.", CALLS
    text = f"you said: {said}"
    if asked.images:
        text += f" (and {asked.images} image)"
    if asked.system:
        text += f" (system: {asked.system})"
    return text, []


def pieces(text: str) -> list[str]:
    return [text[at:at + 7] for at in range(0, len(text), 7)]


def anthropic_events(model: str, text: str, calls: list):
    usage = {"input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 30, "output_tokens": 1}
    yield "message_start", {"message": {
        "id": "msg_up1", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": usage}}
    blocks = [({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(text)])]
    for number, (name, arguments) in enumerate(calls):
        blocks.append(({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}},
                       [{"type": "input_json_delta", "partial_json": piece}
                        for piece in pieces(json.dumps(arguments, ensure_ascii=False))]))
    for index, (block, deltas) in enumerate(blocks):
        yield "content_block_start", {"index": index, "content_block": block}
        if index == 0:
            yield "ping", {}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    yield "message_delta", {"delta": {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None},
                            "usage": {"output_tokens": 12}}
    yield "message_stop", {}


def anthropic_answer(model: str, text: str, calls: list) -> dict:
    return {"id": "msg_up1", "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": text}] + [
                {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}
                for number, (name, arguments) in enumerate(calls)],
            "stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 30, "output_tokens": 12}}


CHAT_USAGE = {"prompt_tokens": 50, "completion_tokens": 12, "total_tokens": 62,
              "prompt_tokens_details": {"cached_tokens": 30}, "completion_tokens_details": {"reasoning_tokens": 0}}


def chat_calls(calls: list) -> list:
    return [{"id": f"call_{number}", "type": "function",
             "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}
            for number, (name, arguments) in enumerate(calls)]


def chat_chunks(model: str, text: str, calls: list, usage: bool):
    head = {"id": "chatcmpl-up1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model}

    def chunk(delta: dict, reason=None):
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
                **({"usage": None} if usage else {})}
    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for piece in pieces(text):
        yield chunk({"content": piece})
    for index, call in enumerate(chat_calls(calls)):
        arguments = call["function"]["arguments"]
        yield chunk({"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]})
        for piece in pieces(arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if calls else "stop")
    if usage:
        yield {**head, "choices": [], "usage": CHAT_USAGE}


def chat_answer(model: str, text: str, calls: list) -> dict:
    message = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message["tool_calls"] = chat_calls(calls)
    return {"id": "chatcmpl-up1", "object": "chat.completion", "created": 1_700_000_000, "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}],
            "usage": CHAT_USAGE}


def responses_items(text: str, calls: list) -> list:
    items = [{"id": "msg_i0", "type": "message", "status": "completed", "role": "assistant",
              "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]}]
    for number, (name, arguments) in enumerate(calls):
        items.append({"id": f"fc_i{number}", "type": "function_call", "status": "completed", "call_id": f"call_{number}",
                      "name": name, "arguments": json.dumps(arguments, ensure_ascii=False)})
    return items


def responses_answer(model: str, items: list, status: str = "completed") -> dict:
    done = status == "completed"
    return {"id": "resp_up1", "object": "response", "created_at": 1_700_000_000, "status": status, "model": model, "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "output": items, "parallel_tool_calls": True,
            "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": {
                "input_tokens": 50, "input_tokens_details": {"cached_tokens": 30}, "output_tokens": 12,
                "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 62} if done else None}


def responses_events(model: str, text: str, calls: list):
    items = responses_items(text, calls)
    yield "response.created", {"response": responses_answer(model, [], "in_progress")}
    yield "response.in_progress", {"response": responses_answer(model, [], "in_progress")}
    for index, item in enumerate(items):
        where = {"item_id": item["id"], "output_index": index}
        if item["type"] == "message":
            part = item["content"][0]
            yield "response.output_item.added", {"output_index": index, "item": {**item, "status": "in_progress", "content": []}}
            yield "response.content_part.added", {**where, "content_index": 0, "part": {**part, "text": ""}}
            for piece in pieces(text):
                yield "response.output_text.delta", {**where, "content_index": 0, "delta": piece, "logprobs": []}
            yield "response.output_text.done", {**where, "content_index": 0, "text": text, "logprobs": []}
            yield "response.content_part.done", {**where, "content_index": 0, "part": part}
        else:
            begun = {**item, "status": "in_progress", "arguments": ""}
            yield "response.output_item.added", {"output_index": index, "item": begun}
            for piece in pieces(item["arguments"]):
                yield "response.function_call_arguments.delta", {**where, "delta": piece}
            yield "response.function_call_arguments.done", {**where, "name": item["name"], "arguments": item["arguments"]}
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield "response.completed", {"response": responses_answer(model, items)}


class Upstream:
    """Serves until close(). `seen` has each request as (path, headers, body)."""

    def __init__(self):
        upstream = self
        self.lock = threading.Lock()
        self.seen: list[tuple[str, dict, dict]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # the name that http.server asks for
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with upstream.lock:
                    upstream.seen.append((self.path, headers, body))
                try:
                    upstream.serve(self, self.path, headers, body)
                except Refused as refused:
                    upstream.refuse(self, self.path, refused)
                except (KeyError, TypeError, ValueError) as wrong:
                    upstream.refuse(self, self.path, Refused(400, f"not understood: {wrong!r}"))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, path: str) -> list[dict]:
        with self.lock:
            return [body for seen, _, body in self.seen if seen == path]

    def serve(self, handler, path: str, headers: dict, body: dict):
        if path == "/v1/messages":
            need("anthropic-version" in headers, "anthropic-version: header is required")
            need("upstream-key" in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer ")),
                 "x-api-key")
            asked = read_anthropic(body)
            text, calls = answer_of(asked)
            if not asked.stream:
                return self.send_json(handler, 200, anthropic_answer(body["model"], text, calls))
            return self.send_events(handler, ((name, {"type": name, **data})
                                              for name, data in anthropic_events(body["model"], text, calls)))
        if path == "/v1/messages/count_tokens":
            return self.send_json(handler, 200, {"input_tokens": 123})
        need(headers.get("authorization") == "Bearer upstream-key", "authorization")
        if path == "/v1/chat/completions":
            asked = read_chat(body)
            text, calls = answer_of(asked)
            if not asked.stream:
                return self.send_json(handler, 200, chat_answer(body["model"], text, calls))
            usage = body.get("stream_options", {}).get("include_usage", False)
            chunks = [("", chunk) for chunk in chat_chunks(body["model"], text, calls, usage)]
            return self.send_events(handler, [*chunks, ("", "[DONE]")])
        if path == "/v1/responses":
            asked = read_responses(body)
            text, calls = answer_of(asked)
            if not asked.stream:
                return self.send_json(handler, 200, responses_answer(body["model"], responses_items(text, calls)))
            return self.send_events(handler, ((name, {"type": name, "sequence_number": number, **data}) for number, (name, data)
                                              in enumerate(responses_events(body["model"], text, calls))))
        if path == "/v1/embeddings":
            inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
            return self.send_json(handler, 200, {
                "object": "list", "model": body["model"], "usage": {"prompt_tokens": 8, "total_tokens": 8},
                "data": [{"object": "embedding", "index": index, "embedding": [0.25, -0.5]} for index in range(len(inputs))]})
        raise Refused(404, f"no such path {path}")

    def refuse(self, handler, path: str, refused: Refused):
        kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error",
                 529: "overloaded_error"}
        if path.startswith("/v1/messages"):
            body = {"type": "error", "error": {"type": kinds.get(refused.status, "api_error"), "message": str(refused)}}
        else:
            body = {"error": {"message": str(refused), "type": "invalid_request_error", "param": None, "code": None}}
        self.send_json(handler, refused.status, body)

    @staticmethod
    def send_json(handler, status: int, body: dict):
        data = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("request-id", "req_upstream")
        handler.end_headers()
        handler.wfile.write(data)

    @staticmethod
    def send_events(handler, events):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for name, data in events:
            text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
            event = (f"event: {name}\n" if name else "") + f"data: {text}\n\n"
            encoded = event.encode()
            handler.wfile.write(f"{len(encoded):x}\r\n".encode() + encoded + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")
