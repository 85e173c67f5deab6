"""The audit of a store names the runs that a fit does not use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.studies.audit.audit import audit_source
from scaling.store.record import Store
from tests.support.known_store import build


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return build(tmp_path_factory.mktemp("audit") / "store", extras=True, rows=10)


def test_a_store_is_audited_and_its_other_runs_are_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(store.root)]) == 0
    text = capsys.readouterr().out
    assert "counts of 24 runs agree with their configs" in text
    assert "1 run with status failed (out of memory <at step 3>): not fitted" in text
    assert "6nd-nonembedding 0.501 to 0.96 times" in text
    assert {row.verdict for row in audit_source(store.root).budgets} == {"equal"}


def test_a_changed_count_and_a_missing_loss_are_errors(tmp_path: Path) -> None:
    changed = build(tmp_path / "store", rows=10)
    first, second, *_ = changed.records()
    changed.write(replace(first, flops={part: 2 * count for part, count in first.flops.items()}))
    changed.write(replace(second, final={}))
    errors = [finding for finding in audit_source(changed.root).findings if finding.severity == "error"]
    assert any(first.run_id in finding.rows_text and "but its config gives" in finding.rows_text for finding in errors)
    assert any("L: 1 row of 19 without a valid value" in finding.text for finding in errors)


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    damaged = build(tmp_path / "store", rows=10)
    path = next((damaged.root / "runs").iterdir()) / "record.json"
    path.write_text(path.read_text()[:-20])
    assert main(["audit", str(damaged.root)]) == 1
    assert any("1 damaged file" in finding.text for finding in audit_source(damaged.root).findings)
