#!/usr/bin/env python3
"""Uses a task board as two teams would: `use.py FOLDER`. Starts `node src/server.js` of that folder with a new data folder, signs two
teams up, lets each make tasks, tries to cross from one to the other, restarts the service, shows the boards and stops it. Ends
with 0 when all of it was as PRODUCT.md says.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

PASSWORD = "correct horse battery"


class Service:
    """The process that this program starts, and stops by its id."""

    def __init__(self, folder: Path, data: Path):
        self.process = subprocess.Popen(
            ["node", "src/server.js"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PORT": "0", "HOST": "127.0.0.1", "DATA_DIR": str(data)})
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if not found:
            self.stop()
            raise SystemExit(f"use: the service did not say where it listens: {line!r}")
        self.url = found.group(0)

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Person:
    def __init__(self, service: Service, team: str, name: str):
        self.service, self.cookie, self.csrf = service, "", ""
        self.email = f"{name.lower()}@example.com"
        status, body = self.ask("POST", "/api/sign-up", {"team": team, "name": name, "email": self.email, "password": PASSWORD})
        expect(status == 201, f"{name} signs up for the team {team}", body)
        self.csrf = body["csrf"]

    def ask(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        request = urllib.request.Request(self.service.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self.cookie:
            request.add_header("Cookie", self.cookie)
            request.add_header("X-CSRF-Token", self.csrf)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.cookie = (answer.headers.get("Set-Cookie") or self.cookie).split(";")[0]
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def board(self) -> list[dict]:
        return self.ask("GET", "/api/tasks")[1]["tasks"]


def expect(good: bool, what: str, seen=None):
    if not good:
        raise SystemExit(f"use: NOT {what}: {seen}")
    print(f"  ok  {what}")


def show(team: str, tasks: list[dict]):
    print(f"\n  {team}")
    columns = {column: [task["title"] for task in tasks if task["column"] == column] for column in ("todo", "doing", "done")}
    print("  " + "".join(f"| {column:<24}" for column in columns) + "|")
    for row in range(max(map(len, columns.values()), default=0)):
        print("  " + "".join(f"| {titles[row] if row < len(titles) else '':<24.24}" for titles in columns.values()) + "|")


def story(folder: Path, data: Path):
    service = Service(folder, data)
    try:
        with urllib.request.urlopen(service.url, timeout=30) as page:
            expect(b"<title>Task board</title>" in page.read(), f"the page is served at {service.url}")
        ada = Person(service, "Engines", "Ada")
        grace = Person(service, "Compilers", "Grace")
        made = [ada.ask("POST", "/api/tasks", {"title": title})[1] for title in ("Order brass", "Write note G", "Check the carry")]
        status, moved = ada.ask("PATCH", f"/api/tasks/{made[1]['id']}", {"column": "doing", "assignee": made[1]["author"]})
        expect(status == 200 and moved["column"] == "doing", "Ada adds three tasks and begins one", moved)
        status, _ = grace.ask("POST", "/api/tasks", {"title": "Find the moth", "column": "done"})
        expect(status == 201, "Grace adds one of her own")
        expect([task["title"] for task in grace.board()] == ["Find the moth"], "Grace sees her own task only", grace.board())
        crossed = [grace.ask("PATCH", f"/api/tasks/{made[0]['id']}", {"title": "mine"})[0],
                   grace.ask("DELETE", f"/api/tasks/{made[0]['id']}")[0]]
        expect(crossed == [404, 404], "Grace can neither change nor delete a task of Ada's", crossed)
        token, ada.csrf = ada.csrf, "wrong"
        expect(ada.ask("POST", "/api/tasks", {"title": "forged"})[0] == 403, "no change without the token of the session")
        ada.csrf = token
        expect(service.stop() == 0, "the service stops when it is told")
        service = Service(folder, data)
        ada.service = grace.service = service
        expect(len(ada.board()) == 3 and len(grace.board()) == 1, "everything is there after a restart")
        text = "".join(path.read_text() for path in data.iterdir())
        expect(PASSWORD not in text and "scrypt$" in text, "passwords are on the disk as hashes only")
        show("Engines", ada.board())
        show("Compilers", grace.board())
    finally:
        service.stop()


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="task-board-") as data:
        story(Path(sys.argv[1]), Path(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
