"""Google Cloud Storage on this machine: gcp-storage-emulator, which gcsfs and TensorStore speak to."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

SERVER = """
import http.server, sys, threading, time, logging
logging.disable(logging.CRITICAL)
from gcp_storage_emulator import server

class Server(http.server.ThreadingHTTPServer):  # the emulator's own loses connections when more than 5 wait
    request_queue_size = 256

handle, lock = server.Router.handle, threading.Lock()

def handle_one_by_one(*arguments):
    with lock:
        handle(*arguments)

server.Router.handle = handle_one_by_one
server.server.HTTPServer = Server
server.create_server("127.0.0.1", int(sys.argv[1]), in_memory=True, default_bucket=sys.argv[2]).start()
time.sleep(3600)
"""


@contextlib.contextmanager
def gcs_emulator(bucket: str) -> Iterator[dict[str, str]]:
    """Context with the variables of a process that speaks to an emulator with an empty bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-W", "ignore", "-c", SERVER, str(port), bucket]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for_port(port, server)
            address = f"http://127.0.0.1:{port}"
            yield {
                "STORAGE_EMULATOR_HOST": address, "TENSORSTORE_GCS_HTTP_URL": address,
                "GCE_METADATA_HOST": "127.0.0.1:1",  # not to be asked for credentials
            }  # fmt: skip
        finally:
            server.kill()


def wait_for_port(port: int, server: subprocess.Popen) -> None:
    """Waits until a server accepts connections."""
    for _ in range(1800):
        assert server.poll() is None
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("the server does not start")
