"""Speed of training: tokens per second by model size, compared with the same Transformer in PyTorch."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

SHAPES = "16x2,24x2,32x2,48x2,64x2,80x2,128x4,128x5,320x8,512x10"


def measure(session: Session) -> Results:
    """Times this code, eager PyTorch and torch.compile in turn, in one process."""
    result = session.json("scaling", "bench", "--shapes", SHAPES, "--json")
    rows = [
        [
            f"{shape['width']} × {shape['layers']}",
            shape["parameters"],
            shape["tokens_per_second"],
            shape["share_of_matmul_rate"],
            shape["compile_seconds"],
            shape.get("torch_eager_tokens_per_second"),
            shape.get("ratio_eager"),
            shape.get("ratio_compile"),
        ]
        for shape in result["shapes"]
    ]
    columns = [
        Column("width × layers"),
        Column("N", ","),
        Column("tokens/s", ",.0f"),
        Column("share of the matrix-product rate", ".1%"),
        Column("compilation, s", ".1f"),
        Column("eager PyTorch, tokens/s", ",.0f"),
        Column("relative to eager PyTorch", ".2f"),
        Column("relative to torch.compile", ".2f"),
    ]
    values = {
        "matmul": Value(result["matmul_flops_per_second"] / 1e9, ",.0f"),
        "batch": Value(result["batch"]),
        "length": Value(result["length"]),
        "device": Value(result["device"]),
    }
    return Results({"main": Table(columns, rows)}, values)
