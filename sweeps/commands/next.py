"""`python -m sweeps next STORE`: recommends and launches the runs that narrow a prediction's interval most.

`python -m analysis next`, in a child process, chooses sizes and lengths. The rules that made most of the store's runs
turn them into configs.
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

from scaling.config.exit_status import DONE
from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError
from scaling.models.counts import total_run_flops
from scaling.store.record import Store
from sweeps.commands.launch import check_name
from sweeps.commands.options import Commands, add_json_option, fetch_store
from sweeps.commands.plan import as_json, as_text
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import parameters_at_width
from sweeps.planning.corpus import Corpus, read_corpus
from sweeps.planning.plan import Plan, plan_cost, plan_sweep
from sweeps.planning.rules import RULES, Rules
from sweeps.planning.settings import parse_settings

# Widths that may be recommended: a few per doubling, then the multiples of 128 that matrix units need.
WIDTHS = (16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, *range(640, 8193, 128))
# Tokens per parameter: the over-training ladders of Gadre 2024. Below, the rules' warm-up is too long for a run.
DEFAULT_RATIO = "5:640"
FREE_FIELDS = ("data", "eval", "precision")  # fields that the rules do not determine
FORWARDED_OPTIONS = ("quantity", "law", "runs", "largest", "worth", "bootstrap")  # passed on to `analysis next`


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `next`."""
    text = "recommend the runs that narrow the interval of a prediction most within a budget of FLOPs"
    parser = commands.add_parser("next", help=text, description=text)
    parser.add_argument("store", metavar="STORE", help="folder of runs and token files")
    parser.add_argument("--target", required=True, metavar="C=1e24", help="point of prediction: C=... or N=...,D=...")
    parser.add_argument("--budget", required=True, metavar="1e20", help="largest total number of FLOPs")
    parser.add_argument("--quantity", help="quantity to predict: L (default), or the optimal N or D at C")
    parser.add_argument("--law", help="law L(N, D) to fit (default chinchilla)")
    parser.add_argument("--runs", help="largest number of runs (default 20)")
    parser.add_argument("--largest", metavar="C", help="largest FLOPs of one run (default: the budget)")
    parser.add_argument(
        "--ratio", default=DEFAULT_RATIO, metavar="LO:HI", help=f"tokens per parameter (default {DEFAULT_RATIO})"
    )
    parser.add_argument("--worth", help="smallest relative narrowing per doubling of the FLOPs (default 0.05)")
    parser.add_argument("--bootstrap", metavar="B", help="bootstrap samples for the intervals (default 1000)")
    parser.add_argument("--corpus", help="corpus of the runs, if the store has several")
    parser.add_argument("--seed", type=int, default=0, help="seed of every run (default 0)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="name=value",
        help="rules with which the runs were launched, such as rules=small or lr=0.002 (an unknown name lists all)",
    )  # fmt: skip
    add_json_option(parser)
    parser.add_argument("--launch", metavar="NAME", help="launch the runs on this machine as a sweep of this name")


def run(args: argparse.Namespace) -> int:
    """Prints the recommended runs and launches them if requested; the exit status of `analysis next` if it fails."""
    check_name("--launch", args.launch)
    if "://" not in args.store and not Path(args.store).is_dir():
        raise SweepError(f"{args.store}: not a store: must be the folder or address of a store with finished runs")
    store = fetch_store(args.store)
    corpus, finished = trained_runs(store, args.corpus)
    family = find_family(store, corpus, finished, args.settings)
    widths = widths_by_size(corpus, family.rule_set)
    process = subprocess.run(analysis_command(args, corpus, widths), stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        return process.returncode
    advice = json.loads(process.stdout)
    configs = recommended_configs(advice, widths, family, args.seed, store)
    plan = plan_sweep(configs, corpus, store) if configs else Plan(corpus=corpus, runs=[])
    rate = measured_rate(plan, store)
    if args.json:
        print(json.dumps({"advice": advice, **as_json(plan, rate)}, indent=1, allow_nan=False))
    else:
        print(recommendation_text(advice, plan, rate))
    if not args.launch or not plan.runs:
        return DONE
    from sweeps.launching.launch import launch

    return launch(store, args.launch, [planned.config for planned in plan.runs], corpus)


def trained_runs(store: Store, corpus_name: str | None) -> tuple[Corpus, list[RunConfig]]:
    """Returns the corpus of the finished runs, and these runs.

    Args:
        store: The store.
        corpus_name: Only runs on this corpus; None: on any.

    Raises:
        SweepError: There are no finished runs, or runs on several corpora.
    """
    finished = [record.config for record in store.records() if record.status == "done"]
    finished = [config for config in finished if corpus_name is None or config.data.corpus == corpus_name]
    corpora = {config.data.tokens: config.data.corpus for config in finished}
    if not corpora:
        where = f" on {corpus_name}" if corpus_name else ""
        raise SweepError(f"{store.root}: no finished runs{where}: launch a sweep first")
    if len(corpora) > 1:
        names = ", ".join(sorted(str(name) for name in corpora.values()))
        raise SweepError(f"{store.root}: runs on several corpora ({names}): choose one with --corpus")
    ((tokens, name),) = corpora.items()
    paths = [path for path in store.token_files.glob("*.tokens") if read_corpus(path).tokens == tokens]
    if not paths:
        raise SweepError(f"{store.token_files}: no token file of {name}, on which the runs were trained: prepare it")
    return read_corpus(paths[0]), finished


@dataclass(frozen=True, kw_only=True)
class RunFamily:
    """Properties that the runs of one fit have in common.

    Attributes:
        corpus: Their corpus.
        rule_set: The rules that made them.
        example: A run whose FREE_FIELDS the new runs copy.
    """

    corpus: Corpus
    rule_set: Rules
    example: RunConfig

    def run(self, width: int, steps: int, seed: int) -> RunConfig:
        """Returns the run of a width; ConfigError if it has fewer steps than its warm-up.

        Args:
            width: Width of the model.
            steps: Training steps.
            seed: Seed of every run.
        """
        config = rules.run_at_width(
            width, self.corpus, length=self.example.data.length, steps=steps, budget=None, seed=seed,
            rule_set=self.rule_set,
        )  # fmt: skip
        return dataclasses.replace(config, **{name: getattr(self.example, name) for name in FREE_FIELDS})

    def tokens_per_step(self, width: int) -> int:
        """Returns the tokens per step of the run of a width."""
        length = self.example.data.length
        model = rules.model_at_width(width, self.corpus.vocab, self.rule_set)
        return length * rules.batch_sequences(length, model, self.rule_set)


def find_family(store: Store, corpus: Corpus, finished: list[RunConfig], assignments: list[str]) -> RunFamily:
    """Finds the rules that made most of the finished runs, and the values of FREE_FIELDS that most of them have.

    Args:
        store: The store, for messages.
        corpus: The corpus of the runs.
        finished: The runs.
        assignments: `--set` options, which change the rules.

    Raises:
        SweepError: No known rules made most of the runs, and the options name none.
    """
    candidates = [
        parse_settings("next", partial(widths_by_size, rule_set=rule_set), assignments).get("rule_set", rule_set)
        for rule_set in RULES.values()
    ]
    counts = [sum(follows_rules(config, corpus, rule_set) for config in finished) for rule_set in candidates]
    rule_set, names = candidates[counts.index(max(counts))], {text.partition("=")[0] for text in assignments}
    if "rules" not in names and 2 * max(counts) <= len(finished):
        raise SweepError(
            f"{store.root}: {max(counts)} of {len(finished)} runs follow rules={'|'.join(RULES)}: "
            "give the rules of the new runs and what was changed, such as --set rules=small --set lr=0.002"
        )
    ((common, _),) = Counter(map(free_fields, finished)).most_common(1)
    example = next(config for config in finished if free_fields(config) == common)
    if "length" in names and rule_set.length != example.data.length:
        raise SweepError(f"--set length={rule_set.length}: the store's runs have {example.data.length}: leave it out")
    return RunFamily(corpus=corpus, rule_set=rule_set, example=example)


def follows_rules(config: RunConfig, corpus: Corpus, rule_set: Rules) -> bool:
    """Whether the rules make this run, except for FREE_FIELDS.

    Args:
        config: The run.
        corpus: The corpus.
        rule_set: The rules.
    """
    family = RunFamily(corpus=corpus, rule_set=rule_set, example=config)
    try:
        by_rules = family.run(config.model.width, config.steps, config.seed)
    except (ValueError, SweepError):  # no heads for this width or the base's, or too few steps for the warm-up
        return False
    return run_id(by_rules) == run_id(config)


def free_fields(config: RunConfig) -> tuple[Any, ...]:
    """Returns the values of FREE_FIELDS."""
    return tuple(getattr(config, name) for name in FREE_FIELDS)


def widths_by_size(corpus: Corpus, rule_set: Rules) -> dict[int, int]:
    """Returns the widths that may be recommended by parameters; the rules' greatest common divisor divides them.

    Args:
        corpus: The corpus.
        rule_set: The rules.
    """
    divisor = math.gcd(*rule_set.widths)
    return {parameters_at_width(width, corpus, rule_set): width for width in WIDTHS if width % divisor == 0}


def analysis_command(args: argparse.Namespace, corpus: Corpus, widths: dict[int, int]) -> list[str]:
    """Returns the command `analysis next`, with budgets in exact FLOPs.

    Args:
        args: Parsed arguments.
        corpus: Corpus of the runs.
        widths: Sizes that may be recommended.
    """
    command = [sys.executable, "-m", "analysis", "next", args.store, "--target", args.target, "--budget", args.budget]
    command += ["--ratio", args.ratio, "--sizes", ",".join(map(str, widths)), "--flops", "exact"]
    command += ["--where", f"data.tokens == '{corpus.tokens}'"]
    for name in FORWARDED_OPTIONS:
        if vars(args)[name] is not None:
            command += [f"--{name}", vars(args)[name]]
    return [*command, "--json", "-"]


def recommended_configs(
    advice: dict[str, Any], widths: dict[int, int], family: RunFamily, seed: int, store: Store
) -> list[RunConfig]:
    """Returns the recommended runs; all are shortened by the same factor if their exact FLOPs exceed the budget.

    Args:
        advice: Output of `analysis next`.
        widths: Width by number of parameters.
        family: Rules and free fields of the runs.
        seed: Seed of every run; the next unused seed for a run that the store already has.
        store: The store.
    """
    sizes = [(widths[round(row["N"])], row["D"]) for row in advice["runs"]]
    lengths = [(width, D / family.tokens_per_step(width)) for width, D in sizes]
    configs = [_family_run(family, width, steps, seed) for width, steps in lengths]
    excess = sum(map(total_run_flops, configs)) / advice["budget"]
    if excess > 1:
        configs = [_family_run(family, width, steps / excess - 0.5, seed) for width, steps in lengths]
    used = {record.run_id for record in store.records()}
    unused: list[RunConfig] = []
    for config in configs:
        while run_id(config) in used:
            config = dataclasses.replace(config, seed=config.seed + 1)
        used.add(run_id(config))
        unused.append(config)
    return unused


def _family_run(family: RunFamily, width: int, steps: float, seed: int) -> RunConfig:
    try:
        return family.run(width, max(1, round(steps)), seed)
    except ConfigError as error:
        raise SweepError(f"width {width} for {round(steps):,} steps: {error}; raise the lower end of --ratio") from None


def measured_rate(plan: Plan, store: Store) -> float | None:
    """Returns the estimated FLOP/s of a plan's remaining runs; None without finished runs to measure.

    Args:
        plan: The plan.
        store: The store.
    """
    from sweeps.cost.pace import estimate_seconds_left, measure_pace

    flops_left, pace = plan_cost(plan)["flops_left"], measure_pace(store)
    return flops_left / estimate_seconds_left(plan, pace) if flops_left and pace else None


def recommendation_text(advice: dict[str, Any], plan: Plan, rate: float | None) -> str:
    """Formats the recommended runs and the interval expected after them.

    Args:
        advice: Output of `analysis next`.
        plan: The plan of the runs.
        rate: FLOP/s of this machine.
    """

    def interval(bounds: list[float]) -> str:
        digits = ".4f" if advice["target"]["quantity"] == "L" else ".3g"
        return f"[{bounds[0]:{digits}}, {bounds[1]:{digits}}]"

    target = ", ".join(f"{name} = {value:.4g}" for name, value in advice["target"].items() if name != "quantity")
    expected = advice["expected"]
    lines = [
        f"{advice['target']['quantity']} at {target}: now {interval(advice['interval'])}, expected after these runs "
        f"{interval(expected['interval'])} (×{expected['ratio']:.2f})",
        advice["why"],
        *(f"warning about the fit: {verdict}" for verdict in advice["fit"]["verdict"] if verdict != "converged"),
    ]
    return "\n".join([as_text(plan, rate), "", *lines] if plan.runs else lines)
