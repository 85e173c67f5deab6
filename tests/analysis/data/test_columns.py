"""Columns: which one a letter is read from, in which unit, and what is computed from the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from tests.support.tables import refusal, write_table

N, D, L = [1e8, 2e8, 4e8, 8e8], [1e9, 2e9, 4e9, 9e9], [3.0, 2.9, 2.8, 2.7]
C = [6 * n * d for n, d in zip(N, D, strict=True)]


def read(rows: dict[str, Any], law: str | None = None, **options: Any) -> Points:
    return load(pd.DataFrame(rows), laws.find(law) if law else None, ReadOptions(**options))


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        ("val_loss", "nats per token", 1),
        ("val_bpb", "bits per byte", 1),
        ("eval/bpb", "bits per byte", 1),
        ("val_loss (bits/byte)", "bits per byte", 1),
        ("loss_bits_per_byte", "bits per byte", 1),
        ("val_bpc", "bits per character", 1),
        ("loss [bits per char]", "bits per character", 1),
        ("nll_per_byte", "nats per byte", 1),
        ("loss_bits", "nats per token", np.log(2)),
        ("final_validation_nll", "nats per token", 1),
        ("val_log_perplexity", "nats per token", 1),
    ],
)
def test_the_unit_in_the_name_of_a_loss_is_that_of_the_points(name: str, unit: str, factor: float) -> None:
    points = read({"params": N, "tokens": D, name: L})
    assert points.loss_unit == unit and np.allclose(points.L, np.array(L) * factor, rtol=1e-12)
    assert unit == "nats per token" or any(f"L in {unit}, the unit in the name" in note for note in points.notes)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("val_ppl", "nats per token"), ("byte_perplexity", "nats per byte"), ("word_perplexity", "nats per word")],
)
def test_a_perplexity_becomes_a_loss_of_what_it_is_of(name: str, unit: str) -> None:
    points = read({"params": N, "tokens": D, name: np.exp(L)})
    assert points.loss_unit == unit and np.allclose(points.L, L)
    assert any("converted from" in note and unit in note for note in points.notes)


@pytest.mark.parametrize(
    ("unit", "printed"),
    [("bits/byte", "bits per byte"), ("bpc", "bits per character"), ("nats per byte", "nats per byte")],
)
def test_a_named_unit_of_the_loss_is_kept(unit: str, printed: str) -> None:
    assert read({"params": N, "tokens": D, "loss": L}, units={"L": unit}).loss_unit == printed


def test_losses_in_different_units_are_not_mixed() -> None:
    rows = {"params": N, "tokens": D, "loss": L, "loss_unit": ["bpb", "bits/byte", "nats", "nats"]}
    assert "losses in different units (bits/byte, nats)" in refusal(pd.DataFrame(rows))
    assert read(rows, where="loss_unit=='nats'").loss_unit == "nats per token"
    assert read(rows | {"loss_unit": ["bpb"] * 4}).loss_unit == "bits per byte"


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("EFLOPs", 1e18),
        ("train_tflops", 1e12),
        ("FLOPs (P)", 1e15),
        ("FLOPs (x1e18)", 1e18),
        ("FLOPs (×10¹⁸)", 1e18),
        ("compute [1e18 FLOPs]", 1e18),
        ("total compute (10^18 FLOPs)", 1e18),
        ("compute_1e18", 1e18),
        ("C/1e18", 1e18),
        ("compute_pf_days", 8.64e19),
        ("Training compute (petaFLOP/s-days)", 8.64e19),
        ("budget (EFLOPs)", 1e18),
    ],
)
def test_flops_are_read_in_the_unit_of_their_name(name: str, factor: float) -> None:
    points = read({"params": N, "tokens": D, "loss": L, name: [c / factor for c in C]})
    assert np.allclose(points.C, C, rtol=1e-12) and name in points.convention


def test_a_column_called_like_compute_in_another_unit_is_not_compute() -> None:
    points = read({"params": N, "tokens": D, "loss": L, "tflops": [151.0, 149.0, 150.0, 152.0]})
    assert np.allclose(points.C, C) and any("C not used: column tflops" in note for note in points.notes)


@pytest.mark.parametrize("name", ["throughput/total_tokens", "perf/tokens_seen", "my_counters/total_tokens"])
def test_the_last_part_of_a_nested_name_is_read(name: str) -> None:
    assert read({"params": N, "loss": L, name: D}).D.tolist() == D


def test_losses_of_maxtext_are_read() -> None:
    columns = {"params": N, "tokens": D, "learning/loss": [9 * x for x in L], "learning/total_weights": D}
    assert read(columns).L.tolist() == columns["learning/loss"]
    assert read({**columns, "eval/avg_loss": L}).L.tolist() == L


@pytest.mark.parametrize(
    "name",
    ["N_no_emb", "n_nonemb", "params_noemb", "params_wo_embeddings", "Non_vocab_parameters", "params (non-embedding)"],
)
def test_parameters_without_embeddings_are_known_by_many_names(name: str) -> None:
    points = read({"params": [9 * n for n in N], name: N, "tokens": D, "loss": L}, params="nonembedding")
    assert points.N.tolist() == N and "without embedding" in points.convention
    assert read({name: N, "tokens": D, "loss": L}).convention.startswith("N: without embedding")


def test_parameters_without_embeddings_are_never_all_parameters() -> None:
    table = pd.DataFrame({"params": N, "tokens": D, "flops": C, "loss": L})
    assert "no column of parameters without embeddings" in refusal(table, params="nonembedding")
    assert "no column of parameters without" in refusal(table[["tokens", "flops", "loss"]], params="nonembedding")
    assert "no column for N" in refusal(table[["tokens", "flops", "loss"]], flops="6nd")
    assert "give one of them" in refusal(table, flops="6nd", columns={"C": "flops"})


def test_the_routing_law_takes_the_parameters_of_the_dense_model() -> None:
    rows = {"total_params": [9 * n for n in N], "num_experts": [1, 2, 4, 8], "tokens": D, "flops": C, "loss": L}
    assert "N (parameters of the dense model)" in refusal(pd.DataFrame(rows), laws.find("routing"))
    assert read(rows | {"dense_params": N}, "routing").N.tolist() == N


@pytest.mark.parametrize(
    ("cell", "value", "error"),
    [
        ("4.1270 ± 0.003", 4.127, 0.003),
        ("4.127+-0.003", 4.127, 0.003),
        ("4.127 +/- 3e-3", 4.127, 0.003),
        ("4.127(3)", 4.127, 0.003),
        ("4.12(12)", 4.12, 0.12),
        ("4.1270 ± 0.1%", 4.127, 0.004127),
        ("$4.127 \\pm 0.003$", 4.127, 0.003),
        ("4,127 ± 0,003", 4.127, 0.003),
    ],
)
def test_a_loss_with_its_error_is_a_value_and_a_weight(cell: str, value: float, error: float) -> None:
    points = read({"params": N[:2], "tokens": D[:2], "val_loss": [cell, "3.5 ± 0.01"], "train_loss": L[:2]})
    assert points.weights is not None and points.L.tolist() == [value, 3.5]
    assert points.weights == pytest.approx([error**-2, 0.01**-2])
    assert any("value and its standard error" in note for note in points.notes)


def test_errors_of_a_loss_are_converted_with_it() -> None:
    points = read({"params": N[:2], "tokens": D[:2], "val_ppl": ["20 ± 1", "10 ± 1"]})
    assert points.weights == pytest.approx([400.0, 100.0]) and pytest.approx(np.log([20, 10])) == points.L


def test_a_column_of_errors_is_named_and_used_where_asked_for() -> None:
    rows = {"params": N, "tokens": D, "val_loss": L, "val_loss_stderr": [0.1, 0.2, 0.1, 0.1]}
    assert any("column val_loss_stderr is not used" in note for note in read(rows).notes) and read(rows).weights is None
    assert read(rows, columns={"error": "val_loss_stderr"}).weights == pytest.approx([100, 25, 100, 100])


def test_a_better_named_loss_is_never_passed_over_without_a_word() -> None:
    points = read({"params": N, "tokens": D, "train_loss": [0, 0, 0, 0], "loss": [1, 1, 1, 1], "val_loss": L})
    assert points.L.tolist() == L and "L taken from column val_loss (not loss, train_loss)" in points.notes
    table = pd.DataFrame({"params": N, "tokens": D, "train_loss": L, "val_loss": ["about 3"] * 4})
    assert "column val_loss has no numbers ('about 3')" in refusal(table)
    table = pd.DataFrame({"params": N, "tokens": D, "train_loss": L, "val_loss_c4": L, "val_loss_wiki": L})
    assert "val_loss_c4, val_loss_wiki: name one" in refusal(table)


def test_a_stated_budget_is_the_compute_and_its_ratio_is_said_once() -> None:
    rows = {"params": N, "tokens": D, "budget": [C[0], C[1] / 2, C[2], C[3]], "loss": L}
    points = read(rows)
    assert points.C.tolist() == rows["budget"] and sum("times 6·N·D" in note for note in points.notes) == 1
    assert "C is 0.5 to 1 times 6·N·D" in " ".join(points.notes)
    assert read(rows, flops="6nd").C.tolist() == C
    assert read(rows | {"flops": C}).C.tolist() == C
    assert "times" not in " ".join(read(rows | {"budget": C}).notes)
    assert pytest.approx(D) == read({"params": N, "budget": C, "loss": L}, "chinchilla").D


@pytest.mark.parametrize("total", [True, False])
def test_tokens_beside_epochs_are_total_or_unique_by_the_losses(total: bool) -> None:
    grid = [(n, u, e) for n in (1e8, 1e9) for u in (1e8, 2e8, 4e8) for e in (1, 2, 4)]
    n, unique, epochs = (np.array(column) for column in zip(*grid, strict=True))
    loss = laws.find("data-constrained").function(
        n, unique * epochs, unique, E=1.8, A=450, B=1800, alpha=0.34, beta=0.36, RD_star=15.0, RN_star=1e4
    )
    tokens = unique * epochs if total else unique
    points = read({"params": n, "tokens": tokens, "n_epochs": epochs, "loss": loss}, "data-constrained")
    assert points["U"] == pytest.approx(unique) and pytest.approx(unique * epochs) == points.D
    assert points.epochs == pytest.approx(epochs)
    assert any(f"are {'total' if total else 'unique'} tokens (at equal N" in note for note in points.notes)


def test_epochs_come_from_unique_tokens_and_the_other_way() -> None:
    points = read({"params": N, "tokens": D, "unique_tokens": 5e8, "loss": L})
    assert points.epochs == pytest.approx([2, 4, 8, 18])
    points = read({"params": N, "unique_tokens": D, "epochs": 2, "loss": L})
    assert pytest.approx([2 * d for d in D]) == points.D and any("unique tokens × epochs" in n for n in points.notes)


@pytest.mark.parametrize("separator", ["\t", ";", "|"])
def test_points_of_thousands_beside_decimal_commas_are_read_by_the_column(tmp_path: Path, separator: str) -> None:
    rows = ["params;tokens;val_loss", "30.000.000;900.000;4,127", "1.000;1.000.000.000;3,7886"]
    points = load(write_table(tmp_path, "\n".join(rows).replace(";", separator) + "\n", "a.txt"))
    assert points.N.tolist() == [3e7, 1e3] and points.D.tolist() == [9e5, 1e9] and points.L.tolist() == [4.127, 3.7886]


@pytest.mark.parametrize("name", ["C_target", "IsoFLOP", "iso_flop", "flops_bucket", "train_flops_budget", "pf_days"])
def test_a_budget_of_any_usual_name_is_the_compute(name: str) -> None:
    C = 0.8 * 6 * np.multiply(N, D)
    cells = C / 8.64e19 if name == "pf_days" else C
    assert pytest.approx(C) == load({"params": N, "tokens": D, name: cells, "loss": L}).C


def test_columns_that_may_be_the_compute_or_the_loss_are_never_passed_over_without_a_word() -> None:
    table = {"params": N, "tokens": D, "train_loss": L, "c4_loss": L, "log10_flops": np.log10(np.multiply(N, D))}
    notes = "; ".join(load({**table, "tflops_per_gpu": np.sqrt(N)}).notes)
    assert "L taken from column train_loss (not c4_loss)" in notes
    assert "not used as C: log10_flops (--columns C=log10_flops)" in notes


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("repeats", [1, 2, 4, 8]),
        ("data_repetitions", [0, 1, 3, 7]),
        ("epochs", ["1x", "2x", "4x", "8x"]),
        ("Epochs", ["1 epoch", "2 epochs", "4 epochs", "8 epochs"]),
        ("max_epochs", [1, 2, 4, 8]),
        ("dataset_tokens", np.array(D) / [1, 2, 4, 8]),
    ],
)
def test_repeated_data_is_recognised_by_many_names(name: str, cells: list[object]) -> None:
    assert load({"params": N, "tokens": D, name: cells, "loss": L}).epochs == pytest.approx([1, 2, 4, 8])


def test_active_parameters_of_mixtures_are_never_passed_over_without_a_word() -> None:
    table = {"total_params": np.multiply(N, 8), "active_params": N, "tokens": D, "loss": L}
    assert any("--columns N=active_params" in note for note in load(table).notes)
    assert not any("active" in note for note in load(table, options=ReadOptions(columns={"N": "total_params"})).notes)
