#!/usr/bin/env python3
"""An MCP server of revision 2026-07-28 and nothing older, as strict as the specification allows; and, by its first
argument, servers that misbehave. Written from the specification for the tests of the client. Standard library only.

    stateless_server.py stdio            over standard input and output
    stateless_server.py http             on a free port, which it prints
    stateless_server.py crash|hang|garbage|huge|deaf|ask|silent    stdio, see BAD
"""
import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
TOOLS = [
    {"name": "add", "description": "Adds two integers.",
     "inputSchema": {"type": "object", "required": ["a", "b"],
                     "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}},
    {"name": "where", "description": "Says which header came.",
     "inputSchema": {"type": "object", "properties": {
         "region": {"type": "string", "x-mcp-header": "Region"},
         "deep": {"type": "object", "properties": {"flag": {"type": "boolean", "x-mcp-header": "Flag"}}}}}},
    {"name": "bad header", "description": "Breaks the rules of its headers.",
     "inputSchema": {"type": "object", "properties": {"n": {"type": "number", "x-mcp-header": "N"}}}},
    {"name": "person", "description": "Wants a person.", "inputSchema": {"type": "object"}},
    {"name": "fails", "description": "Fails.", "inputSchema": {"type": "object"}},
]


class Refused(Exception):
    def __init__(self, code: int, message: str, data=None):
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


def result_of(message: dict, headers: dict) -> dict:
    params = message.get("params") or {}
    meta = params.get("_meta") or {}
    version = meta.get(META + "protocolVersion")
    if version is None or META + "clientCapabilities" not in meta:
        raise Refused(-32602, "the metadata of the request is missing")
    if version != VERSION:
        raise Refused(-32022, "Unsupported protocol version", {"supported": [VERSION], "requested": version})
    method = message["method"]
    if method == "server/discover":
        return {"resultType": "complete", "supportedVersions": [VERSION], "capabilities": {"tools": {}},
                "serverInfo": {"name": "stateless", "version": "1"}}
    if method == "tools/list":
        at = int(params.get("cursor") or 0)
        page = {"resultType": "complete", "tools": TOOLS[at:at + 2], "ttlMs": 0, "cacheScope": "public"}
        if at + 2 < len(TOOLS):
            page["nextCursor"] = str(at + 2)
        return page
    if method == "tools/call":
        name, arguments = params["name"], params.get("arguments") or {}
        if name == "add":
            total = arguments["a"] + arguments["b"]
            return {"resultType": "complete", "content": [{"type": "text", "text": f"sum {total}"}]}
        if name == "where":
            seen = {key: value for key, value in headers.items() if key.startswith("mcp-param-")}
            return {"resultType": "complete", "content": [], "structuredContent": seen}
        if name == "person":
            return {"resultType": "input_required", "inputRequests": {}}
        if name == "fails":
            return {"resultType": "complete", "isError": True, "content": [{"type": "text", "text": "it failed"}]}
        raise Refused(-32602, f"Unknown tool: {name}")
    raise Refused(-32601, "Method not found")


def answer(message: dict, headers: dict) -> dict:
    try:
        return {"jsonrpc": "2.0", "id": message["id"], "result": result_of(message, headers)}
    except Refused as why:
        error = {"code": why.code, "message": why.message}
        if why.data is not None:
            error["data"] = why.data
        return {"jsonrpc": "2.0", "id": message["id"], "error": error}


def say(message):
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
    sys.stdout.flush()


def stdio():
    say("Welcome! (this line is no message)")
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "working"}})
            say(answer(message, {}))


def bad(kind: str):
    """Answers as a good server until `add` is called, then does what its name says. `silent` never answers."""
    if kind == "silent":
        print("listening", file=sys.stderr, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message or kind == "silent":
            continue
        if message["method"] != "tools/call":
            say(answer(message, {}))
        elif kind == "crash":
            print("something broke inside", file=sys.stderr)
            sys.exit(7)
        elif kind == "hang":
            continue
        elif kind == "garbage":
            say("{nonsense")
            say({"jsonrpc": "2.0", "id": "somebody else's", "result": {}})
            say(answer(message, {}))
        elif kind == "huge":
            say('{"jsonrpc":"2.0","id":' + json.dumps(message["id"]) + ',"x":"' + "y" * (5 << 20) + '"}')
        elif kind == "deaf":
            say(answer(message, {}))
            threading.Event().wait()  # reads nothing any more
        elif kind == "ask":
            say({"jsonrpc": "2.0", "id": 900, "method": "ping"})
            pong = json.loads(sys.stdin.readline())
            say({"jsonrpc": "2.0", "id": 901, "method": "sampling/createMessage", "params": {}})
            refusal = json.loads(sys.stdin.readline())
            text = json.dumps([pong.get("result"), (refusal.get("error") or {}).get("code")])
            say({"jsonrpc": "2.0", "id": message["id"], "result": {"content": [{"type": "text", "text": text}]}})


def decoded(value: str) -> str:
    if value.startswith("=?base64?") and value.endswith("?="):
        return base64.b64decode(value[9:-2]).decode()
    return value


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def reply(self, status: int, body: bytes, kind: str):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(405, b"", "text/plain")

    do_DELETE = do_GET

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {key.lower(): decoded(value) for key, value in self.headers.items()}
        params = message.get("params") or {}
        wanted = {"mcp-protocol-version": ((params.get("_meta") or {}).get(META + "protocolVersion")),
                  "mcp-method": message["method"]}
        if message["method"] == "tools/call":
            wanted["mcp-name"] = params["name"]
            arguments = params.get("arguments") or {}
            if "region" in arguments:
                wanted["mcp-param-region"] = arguments["region"]
        for name, value in wanted.items():
            if headers.get(name) != value:
                error = {"jsonrpc": "2.0", "id": message["id"],
                         "error": {"code": -32020, "message": f"{name} is {headers.get(name)!r}, not {value!r}"}}
                return self.reply(400, json.dumps(error).encode(), "application/json")
        accepted = headers.get("accept", "")
        if "application/json" not in accepted or "text/event-stream" not in accepted:
            return self.reply(406, b"", "text/plain")
        out = answer(message, headers)
        status = {-32601: 404, -32022: 400}.get((out.get("error") or {}).get("code"), 200)
        if message["method"] != "tools/call" or status != 200:
            return self.reply(status, json.dumps(out).encode(), "application/json")
        # Calls are answered as a stream, with a notification before the response.
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        self.wfile.write(f": hello\n\nevent: message\ndata: {note}\n\ndata: {json.dumps(out)}\n\n".encode())
        self.close_connection = True


def main():
    kind = sys.argv[1]
    if kind == "stdio":
        stdio()
    elif kind == "http":
        server = ThreadingHTTPServer(("127.0.0.1", 0), Http)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    else:
        bad(kind)


if __name__ == "__main__":
    main()
