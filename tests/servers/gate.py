"""A TCP proxy that does to connections what networks do. One thread; each fault can be set and lifted at any time.

cut        closes every connection, refuses new ones
reset      the same with a reset (RST) instead of an orderly end
half_open  swallows everything in both directions; connections stay open, new ones are taken and never served
delay      each piece waits `ms`
slow       at most `bytes_per_s` in each direction
corrupt    flips one bit in every `every`-th byte that goes to the client
none       heals; connections that were hurt stay as they are (half_open: closed, since bytes are missing)
"""
import asyncio
import socket
import ssl
import struct
import threading


class Gate:
    """Forwards 127.0.0.1:port to target (host, port). With `certificate` (chain, key) the client side speaks TLS."""

    def __init__(self, target: tuple[str, int], certificate: tuple[str, str] | None = None):
        self.target = target
        self.certificate = certificate
        self.kind = "none"
        self.options: dict = {}
        self.bytes = 0
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()

    def fault(self, kind: str, **options):
        """Takes effect before it returns."""
        assert kind in ("none", "cut", "reset", "half_open", "delay", "slow", "corrupt"), kind
        done = threading.Event()

        def change():
            before, self.kind, self.options = self.kind, kind, options
            if kind in ("cut", "reset") or before == "half_open":
                self._hang_up(reset=kind == "reset")
            done.set()

        self._loop.call_soon_threadsafe(change)
        done.wait()

    def close(self):
        def end():
            self._hang_up(reset=False)
            for task in self._tasks:
                task.cancel()
            self._server.close()
            self._loop.call_soon(self._loop.stop)

        self._loop.call_soon_threadsafe(end)
        self._thread.join()

    def _run(self, started: threading.Event):
        asyncio.set_event_loop(self._loop)
        context = None
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context, limit=1 << 20))
        self.port = self._server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    def _hang_up(self, reset: bool):
        for pair in list(self._links):
            for writer in pair:
                if reset:
                    link = writer.get_extra_info("socket")
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        self._links.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            if self.kind in ("cut", "reset"):
                writer.transport.abort()
                return
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=1 << 20)
            pair = (writer, far_writer)
            self._links.add(pair)
            try:
                await asyncio.gather(self._pump(reader, far_writer, False), self._pump(far_reader, writer, True),
                                     return_exceptions=True)
            finally:
                self._links.discard(pair)
                for one in pair:
                    one.transport.abort()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, to_client: bool):
        try:
            while data := await source.read(1 << 18):
                kind, options = self.kind, self.options
                if kind == "half_open":
                    continue
                if kind == "delay":
                    await asyncio.sleep(options["ms"] / 1000)
                if kind == "slow":
                    for start in range(0, len(data), 4096):
                        piece = data[start:start + 4096]
                        await asyncio.sleep(len(piece) / options["bytes_per_s"])
                        target.write(piece)
                        await target.drain()
                        self.bytes += len(piece)
                    continue
                if kind == "corrupt" and to_client:
                    every = options.get("every", 64)
                    changed = bytearray(data)
                    for place in range((every - self.bytes) % every, len(changed), every):
                        changed[place] ^= 0x10
                    data = bytes(changed)
                target.write(data)
                await target.drain()
                self.bytes += len(data)
        except OSError:
            pass
        # One side is done: so is the other.
        target.transport.abort() if self.kind == "reset" else target.close()
