"""Files under an address that fsspec knows (s3://, gs://, ...)."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from scaling.config.validation import one_line
from scaling.store.files import StoreError

# Names of the content hash, version, time and size of a file in different file systems
STAMP_KEYS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "updated", "mtime", "created", "size")


class RemoteFiles:
    """Files under an address, with the operations that leases need; OSError if the address cannot be reached.

    Attributes:
        name: The address.
        fs: File system of fsspec.
        root: The address as that file system names it.
    """

    def __init__(self, address: str) -> None:
        """Raises StoreError if no installed package can open the address."""
        self.name = address.rstrip("/")
        protocol = address.partition("://")[0]
        logging.getLogger("gcsfs").setLevel(logging.ERROR)  # warns of what then raises an error, or does not matter
        try:
            import fsspec
        except ImportError:
            raise StoreError(f"store {address}: needs the package fsspec: pip install 'scaling[cloud]'") from None
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.name, use_listings_cache=False)
        except ImportError as error:
            raise StoreError(f"store {address}: {error}: pip install 'scaling[cloud]' has s3:// and gs://") from None
        except ValueError:
            raise StoreError(
                f"store {address}: unknown protocol {protocol!r}: must be one that fsspec supports, such as s3:// or gs://"
            ) from None

    def files(self, folder: str) -> list[str]:
        """Lists the names of the files in a folder; returns an empty list if the folder does not exist."""
        with self.os_errors(folder):
            try:
                return [str(path).rpartition("/")[2] for path in self.fs.ls(self._path(folder), detail=False)]
            except FileNotFoundError:
                return []

    def read(self, file: str) -> bytes:
        """Reads a file; FileNotFoundError if it does not exist."""
        with self.os_errors(file):
            return self.fs.cat_file(self._path(file))

    def write(self, file: str, data: bytes) -> None:
        """Writes a file, replacing it if it exists.

        Args:
            file: Its name.
            data: Its content.
        """
        with self.os_errors(file):
            self._make_parent(file)
            self.fs.pipe_file(self._path(file), data)

    def create(self, file: str, data: bytes) -> bool:
        """Creates a file; returns False if it already exists.

        Args:
            file: Its name.
            data: Its content.
        """
        try:
            with self.os_errors(file):
                self._make_parent(file)
                self.fs.pipe_file(self._path(file), data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, file: str) -> None:
        """Removes a file or folder if it exists."""
        with self.os_errors(file), contextlib.suppress(FileNotFoundError):
            self.fs.rm(self._path(file), recursive=True)

    def tree(self, folder: str) -> dict[str, str]:
        """Returns every file under a folder by relative name, with a stamp that changes with its content."""
        with self.os_errors(folder):
            try:
                infos = self.fs.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
        start = len(self._path(folder)) + 1
        stamps = {path[start:]: [str(info[k]) for k in STAMP_KEYS if k in info] for path, info in infos.items()}
        # The keys of an object store may have any parts, and each name becomes the path of a local file.
        return {name: str(stamp) for name, stamp in stamps.items() if not {"", ".", ".."} & set(name.split("/"))}

    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each file directly under the address, by its name."""
        with self.os_errors(""):
            try:
                infos = self.fs.ls(self.root, detail=True)
            except FileNotFoundError:
                return {}
        return {str(info["name"]).rpartition("/")[2]: int(info["size"] or 0) for info in infos}

    def open_writer(self, file: str, block_size: int) -> BinaryIO:
        """Opens a file that appears when it is closed, and is uploaded in blocks while it is written.

        Args:
            file: Its name.
            block_size: Bytes of a block.
        """
        with self.os_errors(file):
            self._make_parent(file)
            return cast(BinaryIO, self.fs.open(self._path(file), "wb", block_size=block_size))

    def read_existing(self, files: list[str]) -> dict[str, bytes]:
        """Reads those of the files that exist, in one call."""
        if not files:
            return {}
        with self.os_errors(files[0]):
            contents = self.fs.cat([self._path(file) for file in files], on_error="omit")
        return {file: contents[self._path(file)] for file in files if self._path(file) in contents}

    def upload(self, path: Path, file: str) -> None:
        """Uploads a local file.

        Args:
            path: The local file.
            file: Its remote name.
        """
        with self.os_errors(file):
            self._make_parent(file)
            self.fs.put_file(str(path), self._path(file))

    def download(self, file: str, path: Path) -> None:
        """Downloads a file atomically.

        Args:
            file: Its remote name.
            path: The local file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".fetching-{os.getpid()}-{path.name}")
        try:
            with self.os_errors(file):
                self.fs.get_file(self._path(file), str(part))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def modified(self, file: str) -> float:
        """Returns when a file was written, in seconds since 1970 of the remote clock."""
        with self.os_errors(file):
            return self.fs.modified(self._path(file)).timestamp()

    def _path(self, file: str) -> str:
        return f"{self.root.rstrip('/')}/{file}"

    def _make_parent(self, file: str) -> None:
        if "file" in self.fs.protocol:  # object stores have no folders
            self.fs.makedirs(self._path(file).rpartition("/")[0], exist_ok=True)

    @contextlib.contextmanager
    def os_errors(self, file: str) -> Iterator[None]:
        """Converts the clients' errors to OSError.

        Args:
            file: The file that they are about.
        """
        try:
            yield
        except OSError as error:
            if error.strerror:
                raise
            is_missing = isinstance(error, FileNotFoundError)  # clients name a URL alone
            number = error.errno or (errno.ENOENT if is_missing else errno.EIO)
            reason = "no such bucket, folder or file" if is_missing else _short_message(error)
            raise type(error)(number, reason, f"{self.name}/{file}") from error
        except Exception as error:
            raise OSError(errno.EIO, _short_message(error), f"{self.name}/{file}") from error


def _short_message(error: Exception) -> str:
    text = one_line(error)
    return text if len(text) < 200 else text[:200] + " …"
