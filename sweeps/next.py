"""`sweeps next STORE`: the runs to add so that a prediction gets most certain for the FLOPs, and their launch.

Which sizes and lengths, `python -m analysis next` says, in a process of its own (sweeps knows nothing of laws); what
runs they are, the rules of this package say.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from scaling.config import ConfigError, RunConfig, run_id
from scaling.models.counts import parameters
from scaling.record import Store, open_store
from sweeps import rules
from sweeps.budget import achieved
from sweeps.corpus import Corpus, SweepError, read
from sweeps.plan import Plan, as_json, as_text, cost, plan

# Widths that may be advised: a few a doubling, and the multiples of 128 that matrix units want.
WIDTHS = (16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, *range(640, 8193, 128))
# Tokens a parameter: the over-training ladders of Gadre 2024. Below, the warm-up of `rules` is too long for a run.
RATIO = "5:640"
PASSED = ("of", "law", "runs", "largest", "worth", "bootstrap")  # on to `analysis next`, where given


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The options of `next`."""
    text = "which runs to add so that a prediction gets most certain for the FLOPs"
    sub = commands.add_parser("next", help=text, description=text)
    sub.add_argument("store", metavar="STORE", help="folder of runs and token files")
    sub.add_argument("--target", required=True, metavar="C=1e24", help="what to foretell: C=.., or N=..,D=..")
    sub.add_argument("--budget", required=True, metavar="1e20", help="FLOPs to spend at most, of all runs")
    sub.add_argument("--of", help="at that C: L (default), the best size N, or the best tokens D")
    sub.add_argument("--law", help="a law of the loss in N and D (default chinchilla)")
    sub.add_argument("--runs", help="at most so many (default 20)")
    sub.add_argument("--largest", metavar="C", help="FLOPs of one run at most (default: the budget)")
    sub.add_argument("--ratio", default=RATIO, metavar="LO:HI", help=f"tokens a parameter (default {RATIO})")
    sub.add_argument("--worth", help="narrowing that a doubling of the FLOPs must bring (default 0.05)")
    sub.add_argument("--bootstrap", metavar="B", help="draws for the intervals (default 1000)")
    sub.add_argument("--corpus", help="whose runs, where the store has runs on several")
    sub.add_argument("--seed", type=int, default=0, help="of every run (default 0)")
    sub.add_argument("--json", action="store_true", help="for a program to read")
    sub.add_argument("--launch", metavar="NAME", help="and launch them on this machine, as a sweep of this name")


def run(args: argparse.Namespace) -> int:
    """The advice as a table or JSON, and the launch where asked; where there is none, the status of `analysis next`."""
    if "://" not in args.store and not Path(args.store).is_dir():
        raise SweepError(f"{args.store}: not a store: give the folder that runs were trained into")
    store = open_store(args.store)
    store.fetch_results()
    store.fetch_tokens()
    corpus, length = trained_on(store, args.corpus)
    widths = {int(parameters(rules.model(width, corpus.vocab))["total"]): width for width in WIDTHS}
    asked = subprocess.run(question(args, corpus, widths), stdout=subprocess.PIPE, text=True, check=False)
    if asked.returncode:
        return asked.returncode
    advice = json.loads(asked.stdout)
    wanted = configs(advice, widths, corpus, length, args.seed, store)
    made = plan(wanted, corpus, store) if wanted else Plan(corpus=corpus, runs=[])
    rate = rate_of(made, store)
    if args.json:
        print(json.dumps({"advice": advice, **as_json(made, rate)}, indent=1, allow_nan=False))
    else:
        print(said(advice, made, rate))
    if not args.launch or not made.runs:
        return 0
    from sweeps.launch import launch

    return launch(store, args.launch, [one.config for one in made.runs], corpus)


def trained_on(store: Store, named: str | None) -> tuple[Corpus, int]:
    """The corpus and the length of the runs that are done; SweepError where there are several corpora, or none."""
    done = [record.config for record in store.records() if record.status == "done"]
    done = [config for config in done if named is None or config.data.corpus == named]
    corpora = {config.data.tokens: config.data.corpus for config in done}
    if not corpora:
        raise SweepError(f"{store.root}: no runs{f' on {named}' if named else ''} that are done: launch a sweep first")
    if len(corpora) > 1:
        names = ", ".join(sorted(str(name) for name in corpora.values()))
        raise SweepError(f"{store.root}: runs on several corpora ({names}): say whose with --corpus")
    ((tokens, name),) = corpora.items()
    found = [path for path in store.token_files.glob("*.tokens") if read(path).tokens == tokens]
    if not found:
        raise SweepError(
            f"{store.token_files}: no token file of {name}, which the runs were trained on: prepare it again"
        )
    length = Counter(config.data.length for config in done).most_common(1)[0][0]
    return read(found[0]), length


def question(args: argparse.Namespace, corpus: Corpus, widths: dict[int, int]) -> list[str]:
    """`analysis next` as a command: budgets are exact FLOPs, as everywhere in sweeps."""
    where = f"data.tokens == '{corpus.tokens}'"
    words = [
        sys.executable,
        "-m",
        "analysis",
        "next",
        args.store,
        "--target",
        args.target,
        "--budget",
        args.budget,
    ]
    words += ["--ratio", args.ratio, "--sizes", ",".join(map(str, widths)), "--where", where, "--flops", "exact"]
    for name in PASSED:
        if vars(args)[name] is not None:
            words += [f"--{name}", vars(args)[name]]
    return [*words, "--json", "-"]


def configs(
    advice: dict[str, Any], widths: dict[int, int], corpus: Corpus, length: int, seed: int, store: Store
) -> list[RunConfig]:
    """The runs advised, by the rules. What exact counts are over the budget, all give in equal shares.

    A run that the store has already gets the next seed.
    """
    a_step = rules.batch(length) * length
    wanted = [(widths[round(one["N"])], one["D"] / a_step) for one in advice["runs"]]
    made = [_run(width, corpus, length, steps, seed) for width, steps in wanted]
    over = sum(achieved(one) for one in made) / advice["budget"]
    if over > 1:
        made = [_run(width, corpus, length, steps / over - 0.5, seed) for width, steps in wanted]
    taken = {record.run_id for record in store.records()}
    out: list[RunConfig] = []
    for (width, _), one in zip(wanted, made, strict=True):
        while run_id(one) in taken:
            one = _run(width, corpus, length, one.steps, one.seed + 1)
        taken.add(run_id(one))
        out.append(one)
    return out


def _run(width: int, corpus: Corpus, length: int, steps: float, seed: int) -> RunConfig:
    try:
        return rules.run(width, corpus, length=length, steps=max(1, round(steps)), budget=None, seed=seed)
    except ConfigError as error:
        raise SweepError(f"width {width} for {round(steps):,} steps: {error}; raise the lower end of --ratio") from None


def rate_of(made: Plan, store: Store) -> float | None:
    """FLOP/s that what is left of a plan would reach on the store's machine, None where it was not measured."""
    from sweeps.pace import pace, seconds_left

    left, measured = cost(made)["flops_left"], pace(store)
    return left / seconds_left(made, measured) if left and measured else None


def said(advice: dict[str, Any], made: Plan, rate: float | None) -> str:
    """The advice for a person."""

    def between(bounds: list[float]) -> str:
        digits = ".4f" if advice["target"]["what"] == "L" else ".3g"
        return f"[{bounds[0]:{digits}}, {bounds[1]:{digits}}]"

    target = ", ".join(f"{name} = {value:.4g}" for name, value in advice["target"].items() if name != "what")
    expected = advice["expected"]
    lines = [
        f"{advice['target']['what']} at {target}: now {between(advice['interval'])}, expected after these runs "
        f"{between(expected['interval'])} (×{expected['ratio']:.2f})",
        advice["why"],
        *(f"doubt about the fit: {one}" for one in advice["fit"]["verdict"] if one != "converged"),
    ]
    return "\n".join([as_text(made, rate), "", *lines] if made.runs else lines)
