"""The audit of tables finds each planted defect, and nothing in a table without defects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.data.options import ReadOptions
from analysis.report.audit import page
from analysis.studies.audit.audit import audit_source
from analysis.studies.audit.compute import budget_verdict, significant_digits
from analysis.studies.audit.findings import Audit
from tests.support.commands import PUBLISHED
from tests.support.fits import needs_published

THIRDS = ((1e18, 1e18), (10 ** (18 + 1 / 3), 2e18), (10 ** (18 + 2 / 3), 5e18), (1e19, 1e19))  # FLOPs, as printed


def runs() -> pd.DataFrame:
    """An isoFLOP sweep of four budgets that are thirds of a decade apart, with exact FLOPs."""
    rows = []
    for flops, _ in THIRDS:
        for k in range(5):
            N = round((flops / 120) ** 0.5 * 2.0 ** (k - 2))
            D = round(flops / 6 / N)
            rows.append((f"r{len(rows)}", flops, N, D, 1.8 + 450 / N**0.34 + 1800 / D**0.36))
    return pd.DataFrame(rows, columns=["name", "budget", "params", "tokens", "val_loss_nats"])


def has(audit: Audit, severity: str, topic: str, *texts: str) -> bool:
    return any(
        (f.severity, f.topic) == (severity, topic) and all(text in f.text for text in texts) for f in audit.findings
    )


def test_a_clean_table_has_notes_alone() -> None:
    audit = audit_source(runs())
    assert audit.number("error") == audit.number("warning") == 0, audit.findings
    assert has(audit, "note", "groups", "4 budgets (planned)", "of 5 runs each")
    assert [row.verdict for row in audit.budgets] == ["equal"] * 4


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(budget=frame["budget"].map(dict(THIRDS)))


def other_count(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(budget=6 * (frame["params"] - 1e7) * frame["tokens"])


def pf_days(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(budget=frame["budget"] / 8.64e19)


def embeddings(frame: pd.DataFrame) -> pd.DataFrame:
    inner = frame["params"] - 1.5e7
    return frame.assign(non_embedding_params=inner, budget=6 * inner * frame["tokens"])


def missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(val_loss_nats=frame["val_loss_nats"].where(frame.index != 3))


def billions(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(tokens=frame["tokens"] / 1e9).drop(columns="budget")


def attention(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="budget").assign(ctx=8192, width=512, layers=np.tile([4, 6, 8, 12, 16], 4))


def seeds(frame: pd.DataFrame) -> pd.DataFrame:
    again = frame.assign(seed=1, val_loss_nats=frame["val_loss_nats"] * 1.001)
    return pd.concat([frame.assign(seed=0), again], ignore_index=True).drop(columns="name")


def steps(frame: pd.DataFrame) -> pd.DataFrame:
    length = (frame["tokens"] / 1000).where(frame.index != 7, 3.0)
    return frame.assign(steps=length, batch_size=1000)


@pytest.mark.parametrize(
    ("change", "severity", "topic", "texts"),
    [
        (rounded, "warning", "compute", ["2 of 4 budgets", "rounded", "2e+18 is 2.15e+18, 5e+18 is 4.64e+18"]),
        (other_count, "warning", "compute", ["the ratio grows with N", "as where C counts other parameters"]),
        (pf_days, "error", "compute", ["column budget is", "another unit"]),
        (embeddings, "warning", "counts", ["counts as 6·non_embedding_params·D does"]),
        (lambda f: f.assign(budget=2 * f["params"] * f["tokens"]), "warning", "compute", ["a forward pass alone"]),
        (lambda f: f.assign(params=f["params"] / 1e3), "error", "compute", ["another unit (thousands"]),
        (billions, "warning", "units", ["D/N has the median", "tokens per parameter"]),
        (missing, "error", "missing", ["L: 1 row of 20", "row 4"]),
        (billions, "warning", "units", ["D from", "if these are millions or billions"]),
        (attention, "warning", "counts", ["causal attention", "full attention"]),
        (lambda f: pd.concat([f, f.iloc[[2]]]), "warning", "repeated", ["1 row repeat an earlier row in every"]),
        (lambda f: f.assign(outlier=f.index == 2), "warning", "states", ["1 of 20 rows are marked in column outlier"]),
        (lambda f: f.assign(state=["FAILED", *["done"] * 19]), "warning", "states", ["1 run left out: 1 FAILED"]),
        (lambda f: f.assign(split=["fit"] * 15 + ["test"] * 5), "warning", "states", ["fit (15), test (5)"]),
        (seeds, "warning", "replicates", ["40 rows that differ only in seed", "20 points"]),
        (lambda f: f.assign(corpus=["a", "b"] * 10), "warning", "groups", ["column corpus has 2 values"]),
        (lambda f: f[f.index % 5 < 3], "warning", "groups", ["smallest or largest size in 4 of 4 budgets"]),
        (steps, "warning", "agreement", ["not in 1 row"]),
        (lambda f: f.assign(epochs=2, unique_tokens=f["tokens"] * 3), "error", "agreement", ["more than all tokens"]),
        (
            lambda f: f.assign(val_ppl=np.exp(f["val_loss_nats"]) + 5 * (f.index == 4)),
            "warning",
            "agreement",
            ["val_ppl"],
        ),
    ],
)
def test_a_planted_defect_is_found(
    change: Callable[[pd.DataFrame], pd.DataFrame], severity: str, topic: str, texts: list[str]
) -> None:
    changed = change(runs()).reset_index(drop=True)
    assert has(audit_source(changed), severity, topic, *texts), audit_source(changed).findings


def test_checkpoints_of_runs_are_recognised() -> None:
    rows = [(f"r{n}", n * 1e6, t * 1e7, 5 - 0.1 * t - 0.01 * n) for n in range(1, 7) for t in range(1, 9)]
    audit = audit_source(pd.DataFrame(rows, columns=["run_id", "params", "tokens", "loss"]))
    assert has(audit, "warning", "replicates", "48 rows are checkpoints of 6 runs")


def test_a_loss_without_a_unit_is_a_note_and_a_small_one_a_warning() -> None:
    frame = runs().rename(columns={"val_loss_nats": "val_loss"})
    assert has(audit_source(frame), "note", "units", "read as nats per token")
    assert has(audit_source(frame.assign(val_loss=frame["val_loss"] / 4)), "warning", "units", "small for text")
    in_bytes = frame.rename(columns={"val_loss": "val_bpb"})
    assert has(audit_source(in_bytes), "note", "units", "bits per byte")


def test_several_possible_losses_are_an_error_and_the_rest_is_audited() -> None:
    frame = rounded(runs()).rename(columns={"val_loss_nats": "val_loss_books"})
    audit = audit_source(frame.assign(val_loss_web=frame["val_loss_books"] + 0.1))
    assert has(audit, "error", "columns", "several columns are held-out losses")
    assert has(audit, "warning", "compute", "rounded")
    chosen = audit_source(
        frame.assign(val_loss_web=frame["val_loss_books"]), ReadOptions(columns={"L": "val_loss_web"})
    )
    assert chosen.number("error") == 0


@pytest.mark.parametrize(
    ("printed", "recomputed", "verdict"),
    [(2e18, 2.154e18, "rounded"), (2e18, 1.8e18, "rounded"), (2.2e18, 2.154e18, "near"), (2e18, 2.0e18, "equal"),
     (2e18, 2.6e18, "differs"), (2.15e18, 2.6e18, "differs"), (1.8e19, 1.6e19, "differs")],
)  # fmt: skip
def test_a_rounded_budget_is_the_recomputed_one_at_its_printed_digits(
    printed: float, recomputed: float, verdict: str
) -> None:
    assert budget_verdict(printed, np.array([recomputed])) == verdict
    assert (significant_digits(2e18), significant_digits(1.8e19), significant_digits(2.154e18)) == (1, 2, 4)


def test_the_command_writes_text_json_and_a_page_and_exits_by_severity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, bad = tmp_path / "clean.csv", tmp_path / "bad.csv"
    rounded(runs()).to_csv(clean, index=False)
    missing(runs()).to_csv(bad, index=False)
    out, data = tmp_path / "audit.html", tmp_path / "audit.json"
    assert main(["audit", str(clean), "--out", str(out), "--json", str(data)]) == 0
    assert "2 of 4 budgets in column budget are rounded" in capsys.readouterr().out
    assert main(["audit", str(clean), "--strict"]) == 1
    assert main(["audit", str(bad)]) == 1
    assert main(["audit", str(tmp_path / "none.csv")]) == 2
    written = json.loads(data.read_text())
    assert written["summary"] == {"error": 0, "warning": 1, "note": 1}
    assert [row["verdict"] for row in written["budgets"]] == ["equal", "rounded", "rounded", "equal"]
    html = out.read_text()
    assert written["facts"]["SHA-256"] in html and "src=" not in html and "2.154e+18" in html


def test_a_page_escapes_names_and_is_short(tmp_path: Path) -> None:
    frame = runs().assign(name="<script>alert(1)</script>", budget=np.arange(20) // 2 * 1e18 + 1e18)
    html = page(audit_source(frame))
    assert "<script>" not in html and len(html) < 40_000


@needs_published
def test_published_sets_give_what_their_sources_say() -> None:
    chinchilla = audit_source(PUBLISHED / "besiroglu2024_chinchilla" / "chinchilla_points_245.csv")
    assert has(chinchilla, "warning", "states", "5 of 245 rows are marked in column excluded_in_paper")
    assert has(chinchilla, "note", "compute", "computed from the others")
    collapse = audit_source(PUBLISHED / "supercollapse2025" / "ends.csv")
    assert has(collapse, "warning", "repeated", "16 rows repeat an earlier row in every column")
    xlstm = audit_source(PUBLISHED / "xlstm2025_isoflop" / "runs_llama.csv")
    assert has(xlstm, "warning", "counts", "causal attention 1.07 to 2.3 times")
