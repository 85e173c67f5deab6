"""The family of a store's runs: the known rules that made most of them, or else their own pattern (run_pattern.py)."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from scaling.config.run import RunConfig, run_id
from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import parameters_at_width
from sweeps.planning.corpus import Corpus
from sweeps.planning.fields import parse_fields, varied_fields
from sweeps.planning.rules import RULES, Rules
from sweeps.planning.run_pattern import RunPattern, TrainedRun, find_pattern
from sweeps.planning.settings import parse_settings, separate_fields

# Widths that may be recommended: a few per doubling, then the multiples of 128 that matrix units need.
WIDTHS = (16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, *range(640, 8193, 128))
LAYERS = tuple(range(1, 129))  # numbers of layers that may be recommended if runs of one width differ in them
FREE_FIELDS = ("data", "eval", "precision")  # fields that the rules do not determine


@dataclass(frozen=True, kw_only=True)
class RunFamily:
    """Properties that the runs of one fit have in common.

    Attributes:
        corpus: Their corpus.
        rule_set: The rules that made them.
        example: A run whose FREE_FIELDS the new runs copy.
        notes: Which rules these are, in words.
    """

    corpus: Corpus
    rule_set: Rules
    example: RunConfig
    notes: tuple[str, ...] = ()
    axis = "width"

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

    def run_for_tokens(self, width: int, tokens: float, seed: int) -> RunConfig:
        """Returns the run of a width that reads a number of tokens; ConfigError if they are too few for its warm-up.

        Args:
            width: Width of the model.
            tokens: Training tokens.
            seed: Seed of the run.
        """
        length = self.example.data.length
        model = rules.model_at_width(width, self.corpus.vocab, self.rule_set)
        tokens_per_step = length * rules.batch_sequences(length, model, self.rule_set)
        return self.run(width, max(1, round(tokens / tokens_per_step)), seed)

    def sizes(self, candidates: Sequence[int]) -> dict[int, int]:
        """Returns the width of each number of parameters that may be recommended.

        Args:
            candidates: Widths; the rules' greatest common divisor divides those that are used.
        """
        return widths_by_size(self.corpus, self.rule_set, candidates)


def find_family(
    store: Store, corpus: Corpus, finished: list[TrainedRun], assignments: list[str]
) -> RunFamily | RunPattern:
    """Finds the rules that made most of the finished runs and the values of FREE_FIELDS, or the runs' own pattern.

    Args:
        store: The store, for messages.
        corpus: The corpus of the runs.
        finished: The runs.
        assignments: `--set` options: settings of the rules, or fields of the configs.

    Raises:
        SweepError: A setting of the rules is given but no known rules made most of the runs, or they have no pattern.
    """
    settings, fields = separate_fields(partial(widths_by_size, rule_set=rules.SMALL), assignments)
    candidates = [
        parse_settings("next", partial(widths_by_size, rule_set=rule_set), settings).get("rule_set", rule_set)
        for rule_set in RULES.values()
    ]
    configs = [run.config for run in finished]
    counts = [sum(follows_rules(config, corpus, rule_set) for config in configs) for rule_set in candidates]
    most, names = max(counts), {text.partition("=")[0] for text in settings}
    if "rules" not in names and 2 * most <= len(configs):
        if settings:
            raise SweepError(
                f"--set {settings[0]}: a setting of the rules, and {most} of {len(configs)} runs of {store.root} "
                f"follow rules={'|'.join(RULES)} with it: add rules=..., or set fields such as optimizer.lr=0.002"
            )
        return find_pattern(finished, {name: values[0] for name, values in _single_values(fields).items()})
    if fields:
        raise SweepError(f"--set {fields[0]}: the runs follow rules, which determine it: leave it out")
    ((common, _),) = Counter(map(free_fields, configs)).most_common(1)
    example = next(config for config in configs if free_fields(config) == common)
    place = counts.index(most)
    rule_set = candidates[place]
    if "length" in names and rule_set.length != example.data.length:
        raise SweepError(f"--set length={rule_set.length}: the store's runs have {example.data.length}: leave it out")
    requested = next((text.partition("=")[2] for text in settings if text.startswith("rules=")), [*RULES][place])
    note = f"hyperparameters of the new runs: rules={requested}, which {most} of {len(configs)} runs follow"
    return RunFamily(corpus=corpus, rule_set=rule_set, example=example, notes=(note,))


def _single_values(assignments: list[str]) -> dict[str, tuple[Any, ...]]:
    grid = parse_fields(assignments)
    for name in varied_fields(grid):
        raise SweepError(f"--set {name}: must be one value, which all new runs have")
    return grid


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


def widths_by_size(corpus: Corpus, rule_set: Rules, widths: Sequence[int] = WIDTHS) -> dict[int, int]:
    """Returns the widths that may be recommended by parameters; the rules' greatest common divisor divides them.

    Args:
        corpus: The corpus.
        rule_set: The rules.
        widths: The widths to choose from.
    """
    divisor = math.gcd(*rule_set.widths)
    return {parameters_at_width(width, corpus, rule_set): width for width in widths if width % divisor == 0}
