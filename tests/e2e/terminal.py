"""A program on a terminal of its own (a pty), and what its screen shows: the few sequences that ez writes, anything else is an error."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

from harness import wait_until

SEQUENCE = re.compile(rb"\x1b\[([?0-9;]*)([A-Za-z])")


class Terminal:
    def __init__(self, argv: list[str], rows: int = 24, columns: int = 80, env: dict | None = None):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        environment.update({"TERM": "xterm-256color", "LANG": "C.UTF-8", **(env or {})})
        self.raw = b""
        self.pending = b""
        self.modes: set[bytes] = set()  # private modes that are on
        self.overflow = False  # a line or a row lay outside of the screen
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment,
                                        start_new_session=True, preexec_fn=self._take)

    @staticmethod
    def _take():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, rows: int, columns: int):
        """The kernel tells the program by SIGWINCH. What it writes until then may overflow."""
        self.rows, self.columns = rows, columns
        self.lines = [""] * rows
        self.cursor = [0, 0]
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str):
        os.write(self.master, keys.encode())

    def pump(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                break
            if not piece:
                break
            self.raw += piece
            self._feed(piece)

    def _feed(self, piece: bytes):
        data = self.pending + piece
        at = 0
        while at < len(data):
            if data[at] == 0x1b:
                found = SEQUENCE.match(data, at)
                if found is None:
                    if len(data) - at > 64:
                        raise AssertionError(f"a sequence that nobody knows: {data[at:at + 20]!r}")
                    break
                self._do(found.group(1), found.group(2))
                at = found.end()
                continue
            end = data.find(b"\x1b", at)
            text = data[at:end if end >= 0 else len(data)]
            try:
                shown = text.decode()
            except UnicodeDecodeError:
                if end >= 0:
                    raise
                break
            self._write(shown)
            at += len(text)
        self.pending = data[at:]

    def _do(self, parameters: bytes, command: bytes):
        row, column = self.cursor
        if command == b"H":
            parts = parameters.split(b";") if parameters else [b"1", b"1"]
            self.cursor = [int(parts[0]) - 1, int(parts[1]) - 1]
        elif command == b"K" and row < self.rows:
            self.lines[row] = self.lines[row][:column]
        elif command == b"J":
            first = 0 if parameters == b"2" else row
            for i in range(first, self.rows):
                self.lines[i] = ""
        elif command == b"A":
            self.cursor[0] = max(0, row - int(parameters or b"1"))
        elif command in b"hl":
            (self.modes.add if command == b"h" else self.modes.discard)(parameters)
        elif command not in b"mK":
            raise AssertionError(f"a sequence that nobody knows: {parameters!r} {command!r}")

    def _write(self, text: str):
        for part in re.split("([\r\n])", text):
            row, column = self.cursor
            if part == "\r":
                self.cursor[1] = 0
            elif part == "\n" and row + 1 < self.rows:
                self.cursor[0] = row + 1
            elif part == "\n":
                self.lines = [*self.lines[1:], ""]
            elif part:
                self.overflow = self.overflow or row >= self.rows or column + len(part) > self.columns
                if row >= self.rows:
                    continue
                line = self.lines[row].ljust(column)
                self.lines[row] = (line[:column] + part + line[column + len(part):])[:self.columns]
                self.cursor[1] = min(column + len(part), self.columns)

    @property
    def screen(self) -> str:
        self.pump()
        return "\n".join(line.rstrip() for line in self.lines)

    def wait_for(self, text: str) -> str:
        def shown():
            screen = self.screen
            if text in screen:
                return screen
            if self.process.poll() is not None:
                self.pump()
                raise AssertionError(f"it ended with {self.process.returncode}; the screen was:\n{self.screen}")
            return None
        try:
            return wait_until(shown, f"{text!r} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen}") from None

    def is_restored(self) -> bool:
        """Line editing, echo, cursor, wrap and the first screen are as before."""
        self.pump()
        now = termios.tcgetattr(self.slave)
        return now == self.before and b"?1049" not in self.modes and b"?25" in self.modes and b"?7" in self.modes

    def wait(self) -> int:
        try:
            return self.process.wait(timeout=60)
        finally:
            self.pump()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
