"""The test servers themselves: they come up, survive kill -9, leave no process and no folder behind; the gate does what
it says."""
import os
import socket
import struct
import tempfile
import threading
import time
import unittest
from pathlib import Path

from certificates import Certificates
from gate import Gate
from kafka import Kafka
from processes import Unavailable, answers
from rabbitmq import RabbitMq
from redis import Redis


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = link.recv(count - len(data))
        if not more:
            raise ConnectionResetError("the other end closed")
        data += more
    return data


class Servers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ez-test-")
        cls.certificates = Certificates(Path(cls.folder.name))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def life(self, make, again: bool = True):
        try:
            server = make()
        except Unavailable as reason:
            self.skipTest(str(reason))
        server.start()
        try:
            if again:
                server.kill()
                self.assertFalse(server.nodes[0].running())
                server.restart()
                self.assertTrue(server.ready(0))
            yield server
            pids = [node.child.pid for node in server.nodes]
        finally:
            server.stop()
        for pid in pids:
            self.assertTrue(gone(pid), f"process {pid} is left")
        self.assertFalse(server.folder.exists())

    def test_redis(self):
        for server in self.life(lambda: Redis(self.certificates)):
            self.assertIn("OK", server.call(server.ports[0], "SET", "a", "1"))
            server.kill()
            server.restart()
            self.assertIn("1", server.call(server.ports[0], "GET", "a"))
            server.restart(empty=True)
            self.assertEqual("", server.call(server.ports[0], "GET", "a").strip())

    def test_redis_cluster(self):
        for server in self.life(lambda: Redis(self.certificates, mode="cluster"), again=False):
            self.assertIn("cluster_slots_ok:16384", server.call(server.ports[2], "CLUSTER", "INFO"))

    def test_rabbitmq(self):
        for server in self.life(lambda: RabbitMq(self.certificates), again=False):
            self.assertTrue(answers(server.tls_port))

    def test_kafka(self):
        for server in self.life(lambda: Kafka(self.certificates), again=False):
            # ApiVersions, version 0: key 18, correlation 7, no client id.
            request = struct.pack(">hhih", 18, 0, 7, -1)
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
                link.sendall(struct.pack(">i", len(request)) + request)
                length, correlation, error = struct.unpack(">iih", exactly(link, 10))
            self.assertGreater(length, 6)
            self.assertEqual((correlation, error), (7, 0))


class Echo:
    """Answers each connection with what it sends."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    @staticmethod
    def _serve(link):
        try:
            while data := link.recv(65536):
                link.sendall(data)
        except OSError:
            pass
        link.close()


class TheGate(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.gate = Gate(("127.0.0.1", self.echo.port))
        self.addCleanup(self.gate.close)
        self.addCleanup(self.echo.listener.close)

    def link(self):
        link = socket.create_connection(("127.0.0.1", self.gate.port), timeout=5)
        self.addCleanup(link.close)
        return link

    def round(self, link, data: bytes = b"hello") -> bytes:
        link.sendall(data)
        return exactly(link, len(data))

    def test_passes_everything_on(self):
        data = os.urandom(1_000_000)
        link = self.link()
        writer = threading.Thread(target=link.sendall, args=(data,))
        writer.start()
        self.assertEqual(exactly(link, len(data)), data)
        writer.join()

    def test_cut_closes_and_refuses(self):
        link = self.link()
        self.round(link)
        self.gate.fault("cut")
        with self.assertRaises(OSError):
            if link.recv(1) == b"":
                raise ConnectionResetError
        with self.assertRaises(OSError):
            fresh = self.link()
            fresh.sendall(b"x")
            if fresh.recv(1) == b"":
                raise ConnectionResetError
        self.gate.fault("none")
        self.assertEqual(self.round(self.link()), b"hello")

    def test_reset_is_a_reset(self):
        link = self.link()
        self.round(link)
        self.gate.fault("reset")
        with self.assertRaises(ConnectionResetError):
            link.recv(1)

    def test_half_open_swallows(self):
        link = self.link()
        self.round(link)
        self.gate.fault("half_open")
        link.sendall(b"hello")
        link.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            link.recv(1)

    def test_delay_and_slow_take_time(self):
        link = self.link()
        self.gate.fault("delay", ms=60)
        began = time.monotonic()
        self.round(link)
        self.assertGreaterEqual(time.monotonic() - began, 0.11)
        self.gate.fault("slow", bytes_per_s=100_000)
        began = time.monotonic()
        self.round(link, b"x" * 20_000)
        self.assertGreaterEqual(time.monotonic() - began, 0.19)

    def test_corrupt_changes_bytes(self):
        link = self.link()
        self.gate.fault("corrupt", every=10)
        got = self.round(link, b"\0" * 100)
        self.assertEqual(len(got), 100)
        self.assertEqual(sum(byte != 0 for byte in got), 10)


if __name__ == "__main__":
    unittest.main()
