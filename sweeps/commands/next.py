"""`sweeps next STORE`: the runs to add so that a prediction gets most certain for the FLOPs, and their launch.

Which sizes and lengths, `python -m analysis next` says, in a process of its own (sweeps knows nothing of laws); what
runs they are, the rules that made the store's runs say.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError
from scaling.store.open import open_store
from scaling.store.record import Store
from sweeps.commands.plan import as_json, as_text
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import achieved, size
from sweeps.planning.corpus import Corpus, read
from sweeps.planning.plan import Plan, cost, plan
from sweeps.planning.rules import RULES, Rules
from sweeps.planning.settings import settings

# Widths that may be advised: a few a doubling, and the multiples of 128 that matrix units want.
WIDTHS = (16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, *range(640, 8193, 128))
# Tokens a parameter: the over-training ladders of Gadre 2024. Below, the warm-up of `rules` is too long for a run.
RATIO = "5:640"
OPEN = ("data", "eval", "precision")  # what the rules leave to a sweep
PASSED = ("quantity", "law", "runs", "largest", "worth", "bootstrap")  # on to `analysis next`, where given


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The options of `next`."""
    text = "which runs to add so that a prediction gets most certain for the FLOPs"
    sub = commands.add_parser("next", help=text, description=text)
    sub.add_argument("store", metavar="STORE", help="folder of runs and token files")
    sub.add_argument("--target", required=True, metavar="C=1e24", help="what to foretell: C=.., or N=..,D=..")
    sub.add_argument("--budget", required=True, metavar="1e20", help="FLOPs to spend at most, of all runs")
    sub.add_argument("--quantity", help="at that C: L (default), the best size N, or the best tokens D")
    sub.add_argument("--law", help="a law of the loss in N and D (default chinchilla)")
    sub.add_argument("--runs", help="at most so many (default 20)")
    sub.add_argument("--largest", metavar="C", help="FLOPs of one run at most (default: the budget)")
    sub.add_argument("--ratio", default=RATIO, metavar="LO:HI", help=f"tokens a parameter (default {RATIO})")
    sub.add_argument("--worth", help="narrowing that a doubling of the FLOPs must bring (default 0.05)")
    sub.add_argument("--bootstrap", metavar="B", help="draws for the intervals (default 1000)")
    sub.add_argument("--corpus", help="whose runs, where the store has runs on several")
    sub.add_argument("--seed", type=int, default=0, help="of every run (default 0)")
    made = "rules by which the store's runs were launched, as rules=small or lr=0.002 (a wrong one lists all)"
    sub.add_argument("--set", dest="settings", action="append", default=[], metavar="name=value", help=made)
    sub.add_argument("--json", action="store_true", help="for a program to read")
    sub.add_argument("--launch", metavar="NAME", help="and launch them on this machine, as a sweep of this name")


def run(args: argparse.Namespace) -> int:
    """The advice as a table or JSON, and the launch where asked; where there is none, the status of `analysis next`."""
    if "://" not in args.store and not Path(args.store).is_dir():
        raise SweepError(f"{args.store}: not a store: give the folder that runs were trained into")
    store = open_store(args.store)
    store.fetch_results()
    store.fetch_tokens()
    corpus, done = trained_on(store, args.corpus)
    of = family(store, corpus, done, args.settings)
    widths = sizes(corpus, of.by)
    asked = subprocess.run(question(args, corpus, widths), stdout=subprocess.PIPE, text=True, check=False)
    if asked.returncode:
        return asked.returncode
    advice = json.loads(asked.stdout)
    wanted = configs(advice, widths, of, args.seed, store)
    made = plan(wanted, corpus, store) if wanted else Plan(corpus=corpus, runs=[])
    rate = rate_of(made, store)
    if args.json:
        print(json.dumps({"advice": advice, **as_json(made, rate)}, indent=1, allow_nan=False))
    else:
        print(said(advice, made, rate))
    if not args.launch or not made.runs:
        return 0
    from sweeps.launching.launch import launch

    return launch(store, args.launch, [one.config for one in made.runs], corpus)


def trained_on(store: Store, named: str | None) -> tuple[Corpus, list[RunConfig]]:
    """The corpus of the runs that are done, and these; SweepError where there are several corpora, or none."""
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
    return read(found[0]), done


@dataclass(frozen=True, kw_only=True)
class Family:
    """What runs that one law is fitted to have in common."""

    corpus: Corpus
    by: Rules
    like: RunConfig  # a run whose text, held-out text and precision are those of all

    def run(self, width: int, steps: int, seed: int) -> RunConfig:
        """The run of a width; ConfigError where its steps are too few for its warm-up."""
        length = self.like.data.length
        made = rules.run(width, self.corpus, length=length, steps=steps, budget=None, seed=seed, by=self.by)
        return dataclasses.replace(made, **{name: getattr(self.like, name) for name in OPEN})

    def tokens_a_step(self, width: int) -> int:
        """Of the run of a width."""
        length = self.like.data.length
        return length * rules.batch(length, rules.model(width, self.corpus.vocab, self.by), self.by)


def family(store: Store, corpus: Corpus, done: list[RunConfig], assignments: list[str]) -> Family:
    """The rules, as the settings change them, that made most runs, and what most have of OPEN; SweepError where none
    made most and the settings name none."""
    known = [settings("next", partial(sizes, by=by), assignments).get("by", by) for by in RULES.values()]
    counts = [sum(made_by(config, corpus, by) for config in done) for by in known]
    by, given = known[counts.index(max(counts))], {text.partition("=")[0] for text in assignments}
    if "rules" not in given and 2 * max(counts) <= len(done):
        raise SweepError(
            f"{store.root}: {max(counts)} of {len(done)} runs are as rules={'|'.join(RULES)} make them: "
            "say which rules new ones follow and what was changed, as --set rules=small --set lr=0.002"
        )
    ((most, _),) = Counter(map(open_of, done)).most_common(1)
    like = next(config for config in done if open_of(config) == most)
    if "length" in given and by.length != like.data.length:
        raise SweepError(f"--set length={by.length}: the runs there are have {like.data.length}: leave it out")
    return Family(corpus=corpus, by=by, like=like)


def made_by(config: RunConfig, corpus: Corpus, by: Rules) -> bool:
    """Whether the rules make this run, but for what they leave open."""
    try:
        again = Family(corpus=corpus, by=by, like=config).run(config.model.width, config.steps, config.seed)
    except (ValueError, SweepError):  # no heads for this width or the base's, or too few steps for the warm-up
        return False
    return run_id(again) == run_id(config)


def open_of(config: RunConfig) -> tuple[Any, ...]:
    """See OPEN."""
    return tuple(getattr(config, name) for name in OPEN)


def sizes(corpus: Corpus, by: Rules) -> dict[int, int]:
    """The width of each number of parameters that may be advised: a multiple of what all of the rules' ladder are."""
    grain = math.gcd(*by.widths)
    return {size(width, corpus, by): width for width in WIDTHS if width % grain == 0}


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


def configs(advice: dict[str, Any], widths: dict[int, int], of: Family, seed: int, store: Store) -> list[RunConfig]:
    """The runs advised, of the family. What exact counts are over the budget, all give in equal shares.

    A run that the store has already gets the next seed.
    """
    wanted = [(widths[round(one["N"])], one["D"]) for one in advice["runs"]]
    wanted = [(width, D / of.tokens_a_step(width)) for width, D in wanted]
    made = [_run(of, width, steps, seed) for width, steps in wanted]
    over = sum(achieved(one) for one in made) / advice["budget"]
    if over > 1:
        made = [_run(of, width, steps / over - 0.5, seed) for width, steps in wanted]
    taken = {record.run_id for record in store.records()}
    out: list[RunConfig] = []
    for one in made:
        while run_id(one) in taken:
            one = dataclasses.replace(one, seed=one.seed + 1)
        taken.add(run_id(one))
        out.append(one)
    return out


def _run(of: Family, width: int, steps: float, seed: int) -> RunConfig:
    try:
        return of.run(width, max(1, round(steps)), seed)
    except ConfigError as error:
        raise SweepError(f"width {width} for {round(steps):,} steps: {error}; raise the lower end of --ratio") from None


def rate_of(made: Plan, store: Store) -> float | None:
    """FLOP/s that what is left of a plan would reach on the store's machine, None where it was not measured."""
    from sweeps.cost.pace import pace, seconds_left

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
