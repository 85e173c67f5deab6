"""The report: one file, nothing loaded from elsewhere, its numbers those of the fits, its doubts said."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import format
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from analysis.planning.compute_optimal import off_optimum, optimal_training
from analysis.report import pictures
from analysis.report.build import write_report
from analysis.report.findings import fit_laws
from analysis.report.html import render
from analysis.report.page import describe
from analysis.report.sentences import sentence
from scaling.store.record import Store
from tests.support.commands import command
from tests.support.known_store import build, config, record

OPTIONS = FitOptions(bootstrap=100)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("report") / "store", extras=True, rows=40).root


@pytest.fixture(scope="module")
def reads() -> Counter[tuple[str, str]]:
    """How often the report read the record and the curve of each run."""
    return Counter()


@contextlib.contextmanager
def counted(reads: Counter[tuple[str, str]]) -> Iterator[None]:
    def counting(name: str, method: Callable[[Store, str], Any]) -> Callable[[Store, str], Any]:
        def read(store: Store, run_id: str) -> Any:
            reads[name, run_id] += 1
            return method(store, run_id)

        return read

    with pytest.MonkeyPatch.context() as patch:
        for name in ("read", "curve"):
            patch.setattr(Store, name, counting(name, getattr(Store, name)))
        yield


@pytest.fixture(scope="module")
def source(store: Path, reads: Counter[tuple[str, str]]) -> Source:
    with counted(reads):
        return load(store, OPTIONS)


@pytest.fixture(scope="module")
def page(source: Source, reads: Counter[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    with counted(reads), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "fork_processes", lambda: 1)
        return write_report(source, tmp_path_factory.mktemp("out"))


@pytest.mark.slow
def test_several_processes_write_the_same_files(store: Path, page: Path, tmp_path: Path) -> None:
    """The fixture draws in this process, the command in as many as it has cores."""
    ran = command("analysis", "report", store, "--out", tmp_path / "out", "--bootstrap", "100")
    assert ran.returncode == 0, ran.stderr
    again = tmp_path / "out" / "report.html"
    names = sorted(path.name for path in (page.parent / "figures").iterdir() if path.suffix != ".json")
    assert len(names) > 10
    for name in names:
        assert (again.parent / "figures" / name).read_bytes() == (page.parent / "figures" / name).read_bytes()
    first, second = (re.sub("(?<=commit of this report</dt><dd>)[^<]*", "", p.read_text()) for p in (page, again))
    assert first == second  # the commit may move while the tests run


def visible(page: str) -> str:
    """The text that a reader sees."""
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.S)))


def words(page: Path) -> str:
    """The text that a reader of a file sees."""
    return visible(page.read_text())


def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    loads = re.findall(r'(?:src|srcset|href|url\()="?([^"\s)]{1,40})', text)
    assert loads
    assert not [target for target in loads if not target.startswith(("data:", "figures/", "#"))]
    assert re.findall("<script[^>]*>", text) == ["<script>"] and "@import" not in text and "import(" not in text
    assert re.findall("<link[^>]*>", text) == ['<link rel="icon" href="data:,">']


def test_each_record_and_each_curve_is_read_once(page: Path, store: Path, reads: Counter[tuple[str, str]]) -> None:
    runs = [record.run_id for record in Store(store).records()]
    assert set(reads) == {(name, run) for name in ("read", "curve") for run in runs} and set(reads.values()) == {1}


def test_every_link_leads_to_a_file_beside_the_page(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r'href="(?!data:)([^"]+)"', text)
    anchors = [link.removeprefix("#") for link in links if link.startswith("#")]
    files = [link for link in links if not link.startswith("#")]
    assert len(files) == 7 * 4 and all((page.parent / link).is_file() for link in files)
    assert len(anchors) == 10 and all(f'id="{anchor}"' in text for anchor in anchors)


def test_the_numbers_are_those_of_the_fits(page: Path, source: Source) -> None:
    page_text = words(page)
    fit = source.fit("chinchilla")
    for name, value in fit.params.items():
        row = (
            format.SYMBOLS.get(name, name),
            format.number(value, fit.intervals[name]),
            format.interval_text(fit.intervals[name]),
        )
        assert "".join(row) in page_text
    for law in ("chinchilla-1", "chinchilla-2", "chinchilla"):
        optimum = source.fit(law).optimum
        assert optimum is not None
        assert format.estimate(optimum.a, optimum.intervals["a"]) in page_text
        assert format.estimate(optimum.b, optimum.intervals["b"]) in page_text
        for at in source.fit(law).to_json()["optimum"]["at"]:
            assert format.estimate(at["N"], at["intervals"]["N"], format.count) in page_text
            assert format.estimate(at["D"], at["intervals"]["D"], format.count) in page_text


def test_what_follows_and_every_counting_are_on_the_page(page: Path, source: Source) -> None:
    page_text, law = words(page), source.fit("chinchilla")
    largest = float(source.points.C.max())
    (best,) = optimal_training(law, 100 * largest).to_json()
    assert format.entry_estimate(best, "tokens_per_parameter", format.three_digits) in page_text
    (off_cost,) = off_optimum(law, 10 * largest, 0.5)
    assert format.entry_estimate(off_cost.to_json()[0], "more_compute", format.percent) in page_text
    countings = source.conventions()
    assert len(countings) == 8
    for counting in countings:
        a = counting.exponents["a chinchilla"]
        assert (
            f"{counting.N}{counting.C}{counting.s:.3f}" in page_text
            and format.estimate(a.value, a.interval) in page_text
        )
    assert law.refits
    for refit in law.refits:
        assert refit.omitted in page_text


def test_every_run_is_in_the_table_whatever_became_of_it(page: Path, store: Path) -> None:
    page_text = words(page)
    records = list(Store(store).records())
    assert len(records) == 24
    for run in records:
        assert run.run_id[:12] in page_text
    for status in ("failed: out of memory <at step 3>", "running", "diverged", "stopped"):
        assert status in page_text
    assert "4 runs left out" in page_text


def test_where_it_comes_from_is_said(page: Path) -> None:
    page_text = words(page)
    for fact in ("c0ffee", "ab" * 32, "cpu", "python -m analysis report"):
        assert fact in page_text


@pytest.mark.slow
def test_the_same_source_gives_the_same_words(store: Path) -> None:
    first, second = said_of(store), said_of(store)
    commit = r"(?<=commit of this report)\w+"  # may move while the tests run
    assert re.sub(commit, "", first) == re.sub(commit, "", second)


def test_a_store_with_nothing_done_still_reports(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write(record(config(16, 1, 1e12), "running", None))
    store.write(record(config(24, 1, 1e12), "failed", None, error="no space left on device"))
    page_text = words(write_report(store.root, tmp_path / "out"))
    assert "No run is finished yet" in page_text
    assert "failed: no space left on device" in page_text


@pytest.mark.slow
def test_a_fit_that_cannot_be_done_says_why_and_the_rest_is_shown(tmp_path: Path, store: Path) -> None:
    few_runs = tmp_path / "few"
    shutil.copytree(store, few_runs)
    for run in list(Store(few_runs).records())[4:]:
        shutil.rmtree(Store(few_runs).run_dir(run.run_id))
    out = write_report(few_runs, tmp_path / "out", OPTIONS)
    page_text = words(out)
    assert "could not be fitted" in page_text
    assert "Not drawn" in page_text
    assert (out.parent / "figures" / "curves.pdf").exists()


def said_of(store: Path) -> str:
    """The page's words, figures left out."""
    return visible(render("report.html.j2", {"page": describe(fit_laws(load(store, OPTIONS)), [])}))


def with_about(store: Path, to: Path, **about: Any) -> Path:
    """The store again with more in what its runs that are done say about themselves."""
    shutil.copytree(store, to)
    for run in list(Store(to).records()):
        if run.status == "done":
            Store(to).write(dataclasses.replace(run, about={**run.about, **about}))
    return to


@pytest.mark.slow
def test_a_known_entropy_rate_stands_beside_e(tmp_path: Path, store: Path) -> None:
    page_text = said_of(with_about(store, tmp_path / "chain", corpus_facts={"entropy_rate": 1.1}))
    assert "entropy rate of the text is known: 1.1000 nats per token" in page_text


@pytest.mark.slow
def test_what_sharing_saved_is_counted(tmp_path: Path, store: Path) -> None:
    assert "savings by shared prefixes not recorded" in said_of(store)
    steps = {run.run_id: run.config.steps for run in Store(store).records()}
    shared = with_about(store, tmp_path / "shared", shared_steps=2, steps_computed=1)
    runs = [run for run in Store(shared).records() if run.status == "done"]
    saved = sum(run.flops["total"] * 2 / steps[run.run_id] for run in runs)
    share = saved / sum(run.flops["total"] for run in runs)
    assert f"{format.flops(saved)} of these ({share:.0%}) saved by shared prefixes" in said_of(shared)


def test_numbers_keep_the_digits_that_their_interval_leaves() -> None:
    assert format.number(0.347312, (0.3312, 0.3618)) == "0.347"
    assert format.number(477.83, (400.0, 560.0)) == "478"
    assert format.estimate(1.8172, (1.79, 1.84)) == "1.817 [1.790, 1.840]"
    assert format.count(999_600) == "1.00M"
    assert format.count(1.3e9) == "1.30B"
    assert format.count(None) == "—"
    assert format.flops(3.2e18) == "3.2×10¹⁸"
    assert format.interval_text((float("nan"), 1.0)) == "no interval"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("outliers: run 7", "Outliers: run 7."),
        ("runs.csv: a file has no learning curves", "runs.csv: a file has no learning curves."),
        ("results/runs.csv: empty", "results/runs.csv: empty."),
        ("the envelope has 3 sizes. E is at 0.", "The envelope has 3 sizes. E is at 0."),
    ],
)
def test_a_message_becomes_a_sentence_but_a_files_name_keeps_its_case(message: str, shown: str) -> None:
    assert sentence(message) == shown
