"""Damaged files: each command says what it leaves out, repairs it, or refuses in one line; nothing changes silently."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.damage.campaign import Counts, all_cases, benches_in, run_cases
from tests.damage.case import Case
from tests.damage.commands import COMMANDS
from tests.damage.damages import DAMAGES
from tests.damage.sample import SAMPLE

SEED = int(os.environ.get("DAMAGE_SEED", "0"))
WORKERS = 2


def test_a_sample_of_damages_changes_nothing_silently(tmp_path: Path) -> None:
    with benches_in(tmp_path) as benches:
        counts = run_cases(benches, map(Case.parse, SAMPLE))
    assert not counts.faults, counts.message()


def test_the_sample_has_each_damage_and_each_command_that_trains_nothing() -> None:
    cases = [Case.parse(text) for text in SAMPLE]
    assert {case.damage for case in cases} == {damage.name for damage in DAMAGES}
    assert {case.command for case in cases} == {command.name for command in COMMANDS if not command.training}


@pytest.mark.long  # 10 minutes each on two cores
@pytest.mark.parametrize("trained", [False, True], ids=["records", "trained"])
def test_no_damage_of_any_kind_of_file_changes_anything_silently(trained: bool, tmp_path: Path) -> None:
    counts = run_all(tmp_path, trained)
    print(counts.table())
    assert not counts.faults, f"DAMAGE_SEED={SEED}\n{counts.message()}"


def run_all(folder: Path, trained: bool) -> Counts:
    """Runs the cases of the seed."""
    with benches_in(folder, trained, WORKERS) as benches:
        return run_cases(benches, all_cases(SEED, trained))
