"""Converts samples of the harness to rows of an item file."""

from __future__ import annotations

import math
from typing import Any

from scaling.evaluation.harness.config import CODE_TASKS, HarnessOptions
from scaling.evaluation.harness.model import HarnessModel
from scaling.evaluation.harness.sandbox.isolation import NO_ISOLATION
from scaling.evaluation.harness.sandbox.programs import Problem, find_isolation, run_programs
from scaling.evaluation.summary import Score, put_share
from scaling.store.items import Row

PASS_AT = (1, 10, 100)  # samples k of pass@k (Chen 2021)


def harness_rows(
    model: HarnessModel, task: str, shots: int, samples: list[dict[str, Any]], options: HarnessOptions
) -> tuple[list[Row], dict[str, Score]]:
    """Converts the samples of one task.

    Args:
        model: The model, with the scores of its requests.
        task: Name of the task.
        shots: Solved examples before each question.
        samples: Samples of the harness.
        options: Its `run_code` and `unsafe_run_code` enable running programs.

    Returns:
        One row per question, in order, and scores that the harness does not compute: pass@k of programs.

    Raises:
        ConfigError: Programs cannot be isolated on this machine.
    """
    by_item: dict[int, Row] = {}
    for sample in samples:  # one per filter: the verdict of the last one counts
        row: Row = {
            "task": task, "family": task, "shots": shots, "step": model.scorer.model.step,
            "item": int(sample["doc_id"]), "prompt": str(sample["arguments"][0][0]),
        }  # fmt: skip
        by_item[row["item"]] = row | sample_columns(model, sample)
    rows = [by_item[item] for item in sorted(by_item)]
    if task not in CODE_TASKS or not options.runs_code:
        return rows, {}
    isolation = NO_ISOLATION if options.unsafe_run_code else find_isolation()
    docs = {int(sample["doc_id"]): sample["doc"] for sample in samples}
    programs = [(problem(docs[row["item"]]), text) for row in rows for text in row["generated"]]
    passed = iter(run_programs(programs, isolation))
    for row in rows:
        row |= {"passed": [next(passed) for _ in row["generated"]], "isolation": isolation.name}
    return rows, pass_rates(rows)


def sample_columns(model: HarnessModel, sample: dict[str, Any]) -> Row:
    """Returns the columns of a sample by the kind of its request: the loss of a text, a generation, or choices.

    Args:
        model: The model, with the scores of its requests.
        sample: A sample of the harness.
    """
    arguments = sample["arguments"][0]
    if len(arguments) == 1:
        return loss_columns(model, sample)
    return generation_columns(sample) if isinstance(arguments[1], dict) else choice_columns(model, sample)


def choice_columns(model: HarnessModel, sample: dict[str, Any]) -> Row:
    """Returns the columns of continuations: log-probabilities of all, and of each token of the correct one.

    Args:
        model: The model, with the scores of its requests.
        sample: A sample of the harness.
    """
    pairs = [(str(context), str(choice)) for context, choice in sample["arguments"]]
    pairs = [pair for pair in pairs if pair[0] == pairs[0][0]]  # without requests for the choice alone
    scores, target = [model.scores[pair] for pair in pairs], sample["target"]
    gold = int(target) if str(target).isdecimal() and int(target) < len(pairs) else 0
    answer = scores[gold]
    row: Row = {
        "metric_kind": "choice" if len(pairs) > 1 else "exact", "answer": pairs[gold][1],
        "answer_tokens": len(answer.logp), "answer_bytes": len(pairs[gold][1].encode()),
        "answer_logp": answer.logp.tolist(), "greedy": answer.greedy,
    }  # fmt: skip
    if len(pairs) > 1:
        row |= {
            "chance": 1 / len(pairs), "gold": gold, "choices": [choice for _, choice in pairs],
            "choice_logp": [float(response[0][0]) for response in sample["resps"][: len(pairs)]],
            "choice_tokens": [len(score.logp) for score in scores],
            "choice_bytes": [len(choice.encode()) for _, choice in pairs],
        }  # fmt: skip
    return row


def loss_columns(model: HarnessModel, sample: dict[str, Any]) -> Row:
    """Returns the columns of a whole text: its log-probability.

    Args:
        model: The model.
        sample: A sample of the harness.
    """
    text = str(sample["arguments"][0][0])
    return {
        "metric_kind": "loss", "prompt": "", "answer": text, "answer_bytes": len(text.encode()),
        "answer_tokens": len(model.scorer.encode(text)), "answer_logp": [float(sample["resps"][0][0])],
    }  # fmt: skip


def generation_columns(sample: dict[str, Any]) -> Row:
    """Returns the columns of generated texts; `passed` follows the harness's metric and is absent for programs."""
    row: Row = {"metric_kind": "exact", "answer": str(sample["target"]), "generated": list(sample["resps"][0])}
    match = sample.get("exact_match")
    return row if match is None else row | {"passed": [bool(match)] * len(row["generated"])}


def problem(doc: dict[str, Any]) -> Problem:
    """Returns the function that is to be completed, with its tests.

    Args:
        doc: The fields of its line.
    """
    return Problem(doc["prompt"], doc["test"], doc["entry_point"])


def pass_rates(rows: list[Row]) -> dict[str, Score]:
    """Returns the share of greedy programs that pass, and pass@k for each k up to the number of samples."""
    rates: dict[str, Score] = {}
    put_share(rates, "passed", (float(row["passed"][0]) for row in rows))
    samples = [row["passed"][1:] for row in rows]
    for k in PASS_AT:
        if samples and k <= len(samples[0]):
            put_share(rates, f"pass@{k}", (pass_at_k(len(passed), sum(passed), k) for passed in samples))
    return rates


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Returns the probability that one of k samples passes, unbiased (Chen 2021, equation 1).

    Args:
        samples: Number of samples.
        passed: How many of them pass.
        k: Samples drawn without replacement.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {samples} samples: k must be from 1 to {samples}")
    return 1 - math.comb(samples - passed, k) / math.comb(samples, k)
