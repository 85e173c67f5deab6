"""An object store for measurements: an HTTP server that answers range requests late and at a limited rate per stream.

It runs in a process of its own (`python -m scaling.bench.data.object_store FOLDER`), serves the files of one folder on
the loopback interface, and prints its port. Delays are those of an object store in the region of the machine: some
50 ms to the first byte and 100 MB/s per stream, many streams at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 18  # sent between two looks at the clock
RANGE = re.compile(rb"(?i)\r\nrange: *bytes=(\d+)-(\d+)")
REQUEST = re.compile(rb"(GET|HEAD) /([A-Za-z0-9._/-]+) HTTP/1\.1\r\n")


class ObjectStore:
    """Answers requests for the files of a folder.

    Attributes:
        folder: The folder.
        latency: Seconds before the first byte of an answer.
        rate: Bytes per second of one answer.
    """

    def __init__(self, folder: Path, latency: float, rate: float) -> None:
        self.folder, self.latency, self.rate = folder.resolve(), latency, rate

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection in turn, until the client closes it."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer(await reader.readuntil(b"\r\n\r\n"), writer)
        writer.close()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        begun = asyncio.get_running_loop().time()
        match = REQUEST.match(request)
        path = (self.folder / match[2].decode()).resolve() if match else self.folder
        await asyncio.sleep(self.latency)
        if match is None or self.folder not in path.parents or not path.is_file():
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return await writer.drain()
        size, part = path.stat().st_size, RANGE.search(request)
        first, last = (int(part[1]), min(int(part[2]), size - 1)) if part else (0, size - 1)
        status = f"206 Partial Content\r\nContent-Range: bytes {first}-{last}/{size}" if part else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {last - first + 1}\r\n\r\n".encode())
        if match[1] == b"GET":
            await self._send(path, first, last + 1, writer, begun + self.latency)
        return await writer.drain()

    async def _send(self, path: Path, first: int, end: int, writer: asyncio.StreamWriter, begun: float) -> None:
        """Sends bytes of a file no faster than the rate of one stream."""
        with path.open("rb") as file:
            file.seek(first)
            for start in range(first, end, CHUNK_BYTES):
                writer.write(file.read(min(CHUNK_BYTES, end - start)))
                await writer.drain()
                early = begun + (start + CHUNK_BYTES - first) / self.rate - asyncio.get_running_loop().time()
                if early > 0 and start + CHUNK_BYTES < end:
                    await asyncio.sleep(early)


@contextlib.contextmanager
def running_store(folder: Path, *, latency: float, rate: float) -> Iterator[str]:
    """Context with the address of an object store in a process of its own.

    Args:
        folder: Folder whose files it serves.
        latency: Seconds before the first byte of an answer.
        rate: Bytes per second of one answer.
    """
    line = [sys.executable, "-m", __name__, str(folder), "--latency", str(latency), "--rate", str(rate)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


async def _serve(store: ObjectStore) -> None:
    server = await asyncio.start_server(store.serve_connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # ends with the process that measures
        await asyncio.sleep(1)


def main() -> None:
    """Serves a folder until the parent process ends."""
    parser = argparse.ArgumentParser(description="An object store with delays, for measurements on one machine.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=100e6)
    args = parser.parse_args()
    asyncio.run(_serve(ObjectStore(args.folder, args.latency, args.rate)))


if __name__ == "__main__":
    main()
