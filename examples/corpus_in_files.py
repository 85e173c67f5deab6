"""Prepares a corpus in compressed JSON lines and Parquet, mixed by shares of the tokens.

On the command line: python -m scaling prepare 'mix:(jsonl:web,field=content)=0.7,parquet:code=0.3,by=tokens' --store S.
"""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import scaling


def write_files():
    """Writes files as a group has them: gzip of JSON lines with a field of its own, and Parquet."""
    Path("web").mkdir(exist_ok=True)
    for part in range(3):
        lines = [json.dumps({"id": i, "content": f"page {part}-{i} " * 20}) for i in range(200)]
        Path(f"web/part-{part}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    Path("code").mkdir(exist_ok=True)
    texts = [f"def f{i}(x):\n    return x + {i}\n" * 10 for i in range(400)]
    pq.write_table(pa.table({"text": texts}), "code/functions.parquet", row_group_size=100)


if __name__ == "__main__":
    write_files()
    tokens = scaling.prepare("mix:(jsonl:web,field=content)=0.7,parquet:code=0.3,by=tokens", "S")
    print("documents:", tokens.documents)
    print("training and validation tokens:", tokens.counts)
    print("data.tokens of a config:", tokens.content_hash)
