"""`python gcs_server.py PORT BUCKET`: gcp-storage-emulator with what clients rely on and the emulator lacks.

These are conditions on an object's generation ("create only if absent"), the generation in the answer to a download,
and more than five connections that wait. Without the first two, TensorStore cannot change a database that another write
has just changed: it fails with "Malformed StorageGeneration".
"""

from __future__ import annotations

import http.server
import logging
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound

LOCK = threading.Lock()  # the emulator's storage is not safe for threads


class Server(http.server.ThreadingHTTPServer):
    """The emulator's server of HTTP, with a longer queue."""

    request_queue_size = 256


def with_generations(handler: Callable[..., None]) -> Callable[..., None]:
    """Returns a handler of the emulator that checks conditions and adds the generation of a downloaded object."""

    def handle(request: Any, response: Any, storage: Any) -> None:
        bucket, generation = request.params.get("bucket_name"), "0"
        name = request.params.get("object_id") or request.query.get("name", [""])[0]
        if not name and request.method == server.POST and isinstance(request.data, dict):
            name = (request.data.get("meta") or request.data).get("name", "")
        try:
            if bucket and name:
                generation = storage.get_file_obj(bucket, name)["generation"]
        except NotFound:
            pass  # 0 is the generation of an absent object
        if request.query.get("ifGenerationMatch", [generation])[0] != generation:
            _ = request.data  # the body, which the connection has to be rid of
            response.status = HTTPStatus.PRECONDITION_FAILED
            return
        if generation != "0" and request.query.get("ifGenerationNotMatch", [""])[0] == generation:
            response.status = HTTPStatus.NOT_MODIFIED
            return
        handler(request, response, storage)
        if request.method == server.GET and generation != "0":
            response["x-goog-generation"] = generation

    return handle


def handle_one_by_one(router: Any, method: str, handle: Callable[..., None] = server.Router.handle) -> None:
    """Answers a request while no other is answered."""
    with LOCK:
        handle(router, method)


def main(port: int, bucket: str) -> None:
    """Serves until the process is killed."""
    logging.disable(logging.CRITICAL)
    server.HANDLERS = tuple(
        (pattern, {method: with_generations(handler) for method, handler in handlers.items()})
        for pattern, handlers in server.HANDLERS
    )
    server.Router.handle = handle_one_by_one
    server.server.HTTPServer = Server
    server.create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
