"""Damaged files: each command says what it leaves out, repairs it, or refuses in one line; nothing changes silently."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.damage.campaign import Counts, all_cases, bench_in, run_cases
from tests.damage.case import Bench, Case
from tests.damage.commands import COMMANDS
from tests.damage.damages import DAMAGES
from tests.damage.sample import SAMPLE

SEED = int(os.environ.get("DAMAGE_SEED", "0"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_in(tmp_path_factory.mktemp("damage")) as bench:
        yield bench


def test_a_sample_of_damages_changes_nothing_silently(bench: Bench) -> None:
    counts = run_cases([bench], [Case.parse(text) for text in SAMPLE])
    assert not counts.faults, counts.message()


def test_the_sample_has_each_damage_and_each_command_without_jax() -> None:
    cases = [Case.parse(text) for text in SAMPLE]
    assert {case.damage for case in cases} == {damage.name for damage in DAMAGES}
    assert {case.command for case in cases} == {command.name for command in COMMANDS if not command.training}
