"""`python -m sweeps next STORE`: recommends and launches the runs that narrow a prediction's interval most.

`python -m analysis next`, in a child process, chooses sizes and lengths. The rules that made most of the store's runs
turn them into configs, or, if no known rules made them, the runs' own pattern (sweeps/planning/run_pattern.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from scaling.config.exit_status import DONE
from scaling.config.run import RunConfig, run_id
from scaling.config.text import printable_lines
from scaling.config.user_code import parse_reference
from scaling.config.user_code.blocks import add_code_argument, use_code
from scaling.config.validation import ConfigError
from scaling.counting.counts import total_run_flops
from scaling.store.damaged import damaged_files, print_damaged
from scaling.store.record import Store
from sweeps.commands.options import Commands, add_json_option
from sweeps.definitions import sweep_name
from sweeps.errors import SweepError
from sweeps.format import json_by_rows
from sweeps.interface.plan import fetch_store
from sweeps.interface.plan_table import as_json, as_text
from sweeps.interface.request import check_name
from sweeps.planning.corpus import Corpus, corpus_of_tokens
from sweeps.planning.plan import Plan, plan_cost, plan_sweep
from sweeps.planning.run_family import LAYERS, WIDTHS, RunFamily, find_family
from sweeps.planning.run_pattern import RunPattern, TrainedRun

SMALLEST_SHRINK = 0.999  # of the tokens of runs whose exact FLOPs exceed the budget, per attempt
# Tokens per parameter: the over-training ladders of Gadre 2024. Below, the rules' warm-up is too long for a run.
DEFAULT_RATIO = "5:640"
FORWARDED_OPTIONS = ("quantity", "law", "runs", "largest", "worth", "bootstrap")  # passed on to `analysis next`


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `next`."""
    text = "recommend the runs that narrow the interval of a prediction most within a budget of FLOPs"
    details = ". They follow the rules of most runs of the store, or else these runs' own pattern in size, tokens and "
    details += "steps. While the fit has warnings, they stay near the existing runs."
    parser = commands.add_parser("next", help=text, description=text + details)
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
        help="rules with which the runs were launched, such as rules=small or lr=0.002 (an unknown name lists all); "
        "for runs that follow no rules, and whose own pattern is used, a field of the new runs: optimizer.lr=0.002",
    )  # fmt: skip
    add_code_argument(parser)
    add_json_option(parser)
    parser.add_argument(
        "--launch", metavar="NAME",
        help="launch the runs on this machine as a sweep of this name; FILE.py:NAME also names a file for --code",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Prints the recommended runs and launches them if requested; the exit status of `analysis next` if it fails."""
    name = check_name(sweep_name(args.launch), "--launch") if args.launch else ""
    reference = parse_reference(args.launch or "")
    code = [*args.code, *([reference.source] if reference else [])]
    use_code(code)
    if "://" not in args.store and not Path(args.store).is_dir():
        raise SweepError(f"{args.store}: not a store: must be the folder or address of a store with finished runs")
    store = fetch_store(args.store)
    from scaling.data.corpora.specification import stored_corpus_name  # here, so that --help does not import NumPy

    name_of_corpus = None if args.corpus is None else stored_corpus_name(args.corpus, store.token_files)
    corpus, finished = trained_runs(store, name_of_corpus)
    family = find_family(store, corpus, finished, args.settings)
    widths = family.sizes(WIDTHS if family.axis == "width" else LAYERS)
    process = subprocess.run(analysis_command(args, corpus, widths), stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        return process.returncode
    advice = json.loads(process.stdout)
    configs = recommended_configs(advice, widths, family, args.seed, store)
    plan = plan_sweep(configs, corpus, store) if configs else Plan(corpus=corpus, runs=[])
    rate = measured_rate(plan, store)
    print_damaged(store)
    if args.json:
        result = {"advice": advice, "pattern": list(family.notes), **as_json(plan, rate)}
        print(json_by_rows({**result, "damaged": damaged_files(store)}))
    else:
        print(printable_lines("\n".join([recommendation_text(advice, plan, rate), *family.notes])))
    if not args.launch or not plan.runs:
        return DONE
    from sweeps.launching.launch import launch
    from sweeps.launching.options import LaunchOptions

    return launch(store, name, [planned.config for planned in plan.runs], corpus, LaunchOptions(code=code))


def trained_runs(store: Store, corpus_name: str | None) -> tuple[Corpus, list[TrainedRun]]:
    """Returns the corpus of the finished runs, and these runs with their losses.

    Args:
        store: The store.
        corpus_name: Only runs on this corpus; None: on any.

    Raises:
        SweepError: There are no finished runs, or runs on several corpora.
    """
    records = [record for record in store.records(check_curves=True) if record.status == "done"]
    finished = [TrainedRun(record.config, record.final.get("loss")) for record in records]
    finished = [run for run in finished if corpus_name is None or run.config.data.corpus == corpus_name]
    corpora = {run.config.data.tokens: run.config.data.corpus for run in finished}
    if not corpora:
        where = f" on {corpus_name}" if corpus_name else ""
        raise SweepError(f"{store.root}: no finished runs{where}: launch a sweep first")
    if len(corpora) > 1:
        names = ", ".join(sorted(str(name) for name in corpora.values()))
        raise SweepError(f"{store.root}: runs on several corpora ({names}): choose one with --corpus")
    ((tokens, name),) = corpora.items()
    try:
        return corpus_of_tokens(store.token_files, tokens), finished
    except SweepError as error:
        raise SweepError(f"{error} (corpus {name}, on which the runs were trained)") from None


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
    advice: dict[str, Any], widths: dict[int, int], family: RunFamily | RunPattern, seed: int, store: Store
) -> list[RunConfig]:
    """Returns the recommended runs; all are shortened by the same factor if their exact FLOPs exceed the budget.

    Args:
        advice: Output of `analysis next`.
        widths: Width by number of parameters.
        family: The rules or the pattern of the runs.
        seed: Seed of every run; the next unused seed for a run that the store already has.
        store: The store.
    """
    sizes = [(widths[round(row["N"])], row["D"]) for row in advice["runs"]]
    configs = [_family_run(family, width, D, seed) for width, D in sizes]
    shrink = 1.0
    while (excess := sum(map(total_run_flops, configs)) / advice["budget"]) > 1:
        shrink *= min(1 / excess, SMALLEST_SHRINK)
        configs = [_family_run(family, width, D * shrink, seed) for width, D in sizes]
    used = {record.run_id for record in store.records()}
    unused: list[RunConfig] = []
    for config in configs:
        while run_id(config) in used:
            config = dataclasses.replace(config, seed=config.seed + 1)
        used.add(run_id(config))
        unused.append(config)
    return unused


def _family_run(family: RunFamily | RunPattern, size: int, tokens: float, seed: int) -> RunConfig:
    try:
        return family.run_for_tokens(size, tokens, seed)
    except ConfigError as error:
        raise SweepError(
            f"{family.axis} {size} for {tokens:,.0f} tokens: {error}; raise the lower end of --ratio"
        ) from None


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
        *([advice["restriction"]] if "restriction" in advice else []),
        *(f"warning about the fit: {verdict}" for verdict in advice["fit"]["verdict"] if verdict != "converged"),
    ]
    return "\n".join([as_text(plan, rate), "", *lines] if plan.runs else lines)
