"""What the harness asked and got, as rows of items."""

from __future__ import annotations

from typing import Any

from scaling.evaluate.harness.config import CODE_TASKS, HarnessOptions
from scaling.evaluate.harness.model import HarnessModel
from scaling.evaluate.harness.sandbox import pass_at_k, program_passes
from scaling.store.items import Row


def harness_rows(
    model: HarnessModel, task: str, shots: int, step: int, samples: list[dict[str, Any]], asked: HarnessOptions
) -> tuple[list[Row], dict[str, float]]:
    """A row for each question, in order; and scores that the harness does not compute: pass@k of programs."""
    out: dict[int, Row] = {}
    for sample in samples:  # once for each filter: the last one's verdict stands
        row: Row = {
            "task": task, "family": task, "shots": shots, "step": step, "item": int(sample["doc_id"]),
            "prompt": str(sample["arguments"][0][0]),
        }  # fmt: skip
        kind = metric_kind(sample)
        out[row["item"]] = row | (
            choice_row(model, sample)
            if kind == "choice"
            else loss_row(model, sample)
            if kind == "loss"
            else generation_row(sample)
        )
    rows = [out[item] for item in sorted(out)]
    if task not in CODE_TASKS or not asked.run_code:
        return rows, {}
    docs = {int(sample["doc_id"]): sample["doc"] for sample in samples}
    for row in rows:
        row["passed"] = [program_passes(test_program(docs[row["item"]], text)) for text in row["generated"]]
    return rows, pass_rates(rows)


def metric_kind(sample: dict[str, Any]) -> str:
    """choice, exact or loss, by what the model was asked."""
    if len(sample["arguments"][0]) == 1:
        return "loss"
    return "exact" if isinstance(sample["arguments"][0][1], dict) else "choice"


def choice_row(model: HarnessModel, sample: dict[str, Any]) -> Row:
    """Of continuations: each one's log-probability, the right one's token by token."""
    pairs = [(str(context), str(choice)) for context, choice in sample["arguments"]]
    pairs = [pair for pair in pairs if pair[0] == pairs[0][0]]  # not those without the question
    scored, target = [model.kept[pair] for pair in pairs], sample["target"]
    gold = int(target) if str(target).isdecimal() and int(target) < len(pairs) else 0
    one = scored[gold]
    row: Row = {
        "metric_kind": "choice" if len(pairs) > 1 else "exact", "answer": pairs[gold][1],
        "answer_tokens": len(one.logp), "answer_bytes": len(pairs[gold][1].encode()),
        "answer_logp": one.logp.tolist(), "greedy": one.greedy,
    }  # fmt: skip
    if len(pairs) > 1:
        row |= {
            "chance": 1 / len(pairs), "gold": gold, "choices": [choice for _, choice in pairs],
            "choice_logp": [float(resp[0][0]) for resp in sample["resps"][: len(pairs)]],
            "choice_tokens": [len(s.logp) for s in scored],
            "choice_bytes": [len(choice.encode()) for _, choice in pairs],
        }  # fmt: skip
    return row


def loss_row(model: HarnessModel, sample: dict[str, Any]) -> Row:
    """Of a whole text: its log-probability."""
    text = str(sample["arguments"][0][0])
    return {
        "metric_kind": "loss", "prompt": "", "answer": text, "answer_bytes": len(text.encode()),
        "answer_tokens": len(model.scorer.encode(text)), "answer_logp": [float(sample["resps"][0][0])],
    }  # fmt: skip


def generation_row(sample: dict[str, Any]) -> Row:
    """Of texts that the model wrote: right where the harness's metric says so; of programs nothing is known yet."""
    row: Row = {"metric_kind": "exact", "answer": str(sample["target"]), "generated": list(sample["resps"][0])}
    right = sample.get("exact_match")
    return row if right is None else row | {"passed": [bool(right)] * len(row["generated"])}


def test_program(doc: dict[str, Any], text: str) -> str:
    """A function as the model ended it, and its test."""
    return f"{doc['prompt']}{text}\n\n{doc['test']}\n\ncheck({doc['entry_point']})\n"


def pass_rates(rows: list[Row]) -> dict[str, float]:
    """pass@1 of the greedy program; pass@k of samples for k of 1, 10, 100, as far as they go."""
    out = {"passed": sum(row["passed"][0] for row in rows) / len(rows)}
    samples = [row["passed"][1:] for row in rows]
    for k in (1, 10, 100):
        if samples and k <= len(samples[0]):
            out[f"pass@{k}"] = sum(pass_at_k(len(passed), sum(passed), k) for passed in samples) / len(samples)
    return out
