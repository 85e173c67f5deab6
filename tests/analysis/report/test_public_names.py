"""What is meant to be published has no absolute path and no host, also of a store that is not anonymous."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from analysis.__main__ import main
from tests.support.known_store import build


def published_bytes(path: Path) -> bytes:
    """Content of a file; of a PDF, with its streams and properties decompressed."""
    data = path.read_bytes()
    if path.suffix != ".pdf":
        return data
    from pypdf import PdfReader

    reader = PdfReader(path)
    contents = [page.get_contents() for page in reader.pages]
    streams = [content.get_data() for content in contents if content is not None]
    return b"".join([data, *streams, str(reader.metadata).encode()])


@pytest.mark.parametrize(
    "command", ["fit", "figure", "table", *(pytest.param(c, marks=pytest.mark.slow) for c in ("paper", "report"))]
)
def test_what_is_published_has_no_absolute_path_and_no_host(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "zq-host-417")
    store, out = build(tmp_path / "zq-folder" / "S", rows=20), tmp_path / "out"
    out.mkdir()
    for record in list(store.records()):
        data = dataclasses.replace(record.config.data, corpus=f"text:{tmp_path}/zq-folder/notes.txt")
        about = record.about | {"host": "zq-host-417", "corpus": data.corpus}
        store.write(dataclasses.replace(record, config=dataclasses.replace(record.config, data=data), about=about))
    source = str(store.root)
    commands = {
        "fit": [[source, "--law", "chinchilla", "--json", str(out / "fit.json")]],
        "figure": [["isoflop", source, "--out", str(out / f"f.{kind}")] for kind in ("pdf", "png", "svg")],
        "table": [[source, "--csv", str(out / "t.csv")]],
        "paper": [[source, "--out", str(out / "paper"), "--law", "chinchilla"]],
        "report": [[source, "--out", str(out / "report")]],
    }
    for arguments in commands[command]:
        assert main([command, *arguments]) == 0, capsys.readouterr().err
    files = [path for path in out.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = published_bytes(path)
        for word in ("zq-host-417", "zq-folder", str(tmp_path), str(Path.cwd()), str(Path.home())):
            assert word.encode() not in content, (path.name, word)
    if command == "report":
        assert b"notes.txt" in (out / "report" / "report.html").read_bytes()
