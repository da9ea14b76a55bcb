#!/usr/bin/env python3
"""Runs test servers for a program in another language: one JSON command a line on standard input, one JSON answer a line
on standard output. At the end of the input everything that was started here is stopped.

{"do":"start","kind":"redis|rabbitmq|kafka","options":{…}}  → {"server":N, …describe()…}  or {"skip":"reason"}
{"do":"kill|pause|resume|restart","server":N,"node":0,"empty":false} → {}
{"do":"fill|empty","server":N} → {}            (its disk; started with the option disk_mb)
{"do":"stop","server":N} → {}
{"do":"gate","target":"host:port","certificate":"expired"?} → {"gate":N,"address":"localhost:port"}
{"do":"fault","gate":N,"kind":"…",…} → {}      (gate.py lists them)
{"do":"call","server":N,"node":0,"words":[…]} → {"text":"…"}   (redis-cli)
Anything that goes wrong is answered with {"error":"…"}.
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from certificates import Certificates  # noqa: E402
from gate import Gate  # noqa: E402
from kafka import Kafka  # noqa: E402
from processes import Unavailable  # noqa: E402
from rabbitmq import RabbitMq  # noqa: E402
from redis import Redis  # noqa: E402

KINDS = {"redis": Redis, "rabbitmq": RabbitMq, "kafka": Kafka}


class Control:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ez-servers-"))
        self.certificates = Certificates(self.folder / "tls")
        self.servers = {}
        self.gates: list[Gate] = []

    def run(self, command: dict) -> dict:
        do = command["do"]
        if do == "start":
            try:
                server = KINDS[command["kind"]](self.certificates, **command.get("options", {})).start()
            except Unavailable as reason:
                return {"skip": str(reason)}
            number = len(self.servers) + 1
            self.servers[number] = server
            answer = {"server": number, **server.describe()}
            if "gate_address" in answer:  # the server has one of its own, and closes it
                self.gates.append(server.gate)
                answer["gate"] = len(self.gates)
            return answer
        if do == "gate":
            host, port = command["target"].rsplit(":", 1)
            certificate = None
            if "certificate" in command:
                name = command["certificate"]
                certificate = (self.certificates.path(f"{name}.pem"), self.certificates.path(f"{name}.key"))
            self.gates.append(Gate((host, int(port)), certificate))
            return {"gate": len(self.gates), "address": f"localhost:{self.gates[-1].port}"}
        if do == "fault":
            extra = {key: value for key, value in command.items() if key not in ("do", "gate", "kind")}
            self.gates[command["gate"] - 1].fault(command["kind"], **extra)
            return {}
        server = self.servers[command["server"]]
        node = command.get("node", 0)
        if do == "stop":
            self.servers.pop(command["server"]).stop()
        elif do == "restart":
            server.restart(node, command.get("empty", False))
        elif do == "call":
            return {"text": server.call(server.ports[node], *command["words"])}
        elif do in ("kill", "pause", "resume", "fill", "empty"):
            getattr(server, do)(node)
        else:
            return {"error": f"no command {do}"}
        return {}

    def close(self):
        owned = [getattr(server, "gate", None) for server in self.servers.values()]
        for gate in self.gates:
            if gate not in owned:
                gate.close()
        for server in self.servers.values():
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> int:
    control = Control()
    try:
        for line in sys.stdin:
            try:
                answer = control.run(json.loads(line))
            except Exception as problem:  # whatever it is, the test at the other end has to learn of it
                answer = {"error": f"{type(problem).__name__}: {problem}"}
            print(json.dumps(answer), flush=True)
    finally:
        control.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
