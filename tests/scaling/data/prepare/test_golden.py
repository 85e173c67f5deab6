"""Token files of small corpora stay as they were before corpora could be shards, bit for bit."""

from pathlib import Path

import pytest

from scaling.data.prepare import prepare
from scaling.data.tokens import open_tokens

GOLDEN = {
    (20, "bytes"): "2cbfe2937fa7466ae388a30fffe8ea11bd83ef8b2e09646deb5123f0797e4d37",
    (150, "bytes"): "4a7cba1272fe905c5b82ecae9918c4d6d0156fa2d0c00f00a37a4c816104a873",
    (150, "sentencepiece:330"): "bf5190d5e5b64523cc64039c97c85742983453a316c557cff346cf43535b4fbe",
}


@pytest.mark.parametrize(("count", "tokenizer"), GOLDEN)
def test_content_of_a_token_file_is_that_of_earlier_versions(count: int, tokenizer: str, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:03d}.txt").write_text(f"document {i}\r\n\tβ {'😀' * (i % 7)} ▁ {i * i}")
    tokens = open_tokens(prepare(f"text:{folder}", tmp_path / "tokens", tokenizer=tokenizer))
    assert tokens.content_hash == GOLDEN[count, tokenizer]
