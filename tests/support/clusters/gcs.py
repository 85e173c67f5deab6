"""Google Cloud Storage on this machine: an emulator, which gcsfs and TensorStore speak to."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SERVER = Path(__file__).with_name("gcs_server.py")


@contextlib.contextmanager
def gcs_emulator(bucket: str) -> Iterator[dict[str, str]]:
    """Context with the variables of a process that speaks to an emulator with an empty bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-W", "ignore", str(SERVER), str(port), bucket]
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
