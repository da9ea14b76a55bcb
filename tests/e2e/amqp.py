"""A small client of AMQP 0-9-1: enough to take messages from queues of RabbitMQ and to publish, on one channel. Blocking; written to
the specification, and shares nothing with our sources."""
import socket
import struct


def short_string(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


def long_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


class Amqp:
    def __init__(self, port: int, user: str, password: str):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(10, 10)  # connection.start
        self.method(0, 10, 11, long_string(b"") + short_string("PLAIN") + long_string(f"\0{user}\0{password}".encode())
                    + short_string("en_US"))
        tune = self.expect(10, 30)
        self.frame_max = struct.unpack(">HIH", tune)[1]
        self.method(0, 10, 31, struct.pack(">HIH", 1, self.frame_max, 0))
        self.method(0, 10, 40, short_string("/") + short_string("") + b"\0")
        self.expect(10, 41)
        self.method(1, 20, 10, short_string(""))
        self.expect(20, 11)
        self.method(1, 85, 10, b"\0")  # confirms
        self.expect(85, 11)

    def close(self):
        self.socket.close()

    def frame(self, kind: int, channel: int, payload: bytes):
        self.socket.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")

    def method(self, channel: int, group: int, number: int, arguments: bytes):
        self.frame(1, channel, struct.pack(">HH", group, number) + arguments)

    def read(self) -> tuple[int, bytes]:
        kind, _, size = struct.unpack(">BHI", self.stream.read(7))
        payload = self.stream.read(size)
        assert self.stream.read(1) == b"\xce", "a frame has no end"
        return kind, payload

    def next_method(self) -> tuple[int, int, bytes]:
        while True:
            kind, payload = self.read()
            if kind == 8:  # heartbeat
                continue
            assert kind == 1, f"a frame of kind {kind} where a method was expected"
            group, number = struct.unpack(">HH", payload[:4])
            if (group, number) in ((10, 50), (20, 40)):
                raise RuntimeError(f"RabbitMQ closes: {payload[4:]!r}")
            return group, number, payload[4:]

    def expect(self, group: int, number: int) -> bytes:
        got = self.next_method()
        assert got[:2] == (group, number), f"method {got[:2]} where {(group, number)} was expected"
        return got[2]

    def get(self, queue: str) -> tuple[int, bytes] | None:
        """The next message of the queue and its tag, not yet acknowledged."""
        self.method(1, 60, 70, b"\0\0" + short_string(queue) + b"\0")
        group, number, arguments = self.next_method()
        if (group, number) == (60, 72):
            return None
        assert (group, number) == (60, 71), (group, number)
        tag = struct.unpack(">Q", arguments[:8])[0]
        kind, header = self.read()
        assert kind == 2
        size = struct.unpack(">Q", header[4:12])[0]
        body = b""
        while len(body) < size:
            kind, piece = self.read()
            assert kind == 3
            body += piece
        return tag, body

    def ack(self, tag: int):
        self.method(1, 60, 80, struct.pack(">QB", tag, 0))

    def publish(self, exchange: str, key: str, message_id: str, body: bytes):
        """Persistent; returns when RabbitMQ has confirmed it. A message that leads nowhere is an error."""
        self.method(1, 60, 40, b"\0\0" + short_string(exchange) + short_string(key) + b"\1")
        properties = struct.pack(">HB", 0x1000 | 0x0080, 2) + short_string(message_id)  # delivery-mode, message-id
        self.frame(2, 1, struct.pack(">HHQ", 60, 0, len(body)) + properties)
        step = self.frame_max - 8
        for at in range(0, len(body), step):
            self.frame(3, 1, body[at:at + step])
        group, number, _ = self.next_method()
        assert (group, number) == (60, 80), f"method {(group, number)} instead of a confirmation"
