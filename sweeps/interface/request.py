"""What the user asked for: a sweep, its corpus, seed and settings, and from these its runs and its plan."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.user_code.blocks import named_sources, use_code
from scaling.store.record import Store
from sweeps.definitions import DEFINITIONS, find_definition, sweep_name
from sweeps.definitions.definition import Definition
from sweeps.definitions.from_code import check_configs, object_definition, with_block_hashes
from sweeps.definitions.from_configs import UNKNOWN_TOKENS, list_definition
from sweeps.errors import SweepError
from sweeps.planning import corpus as corpora
from sweeps.planning.corpus import Corpus
from sweeps.planning.fields import FieldGrid, apply_fields, check_settings, parse_fields
from sweeps.planning.plan import Plan, plan_sweep
from sweeps.planning.settings import parse_settings, separate_fields, takes

# A known sweep, FILE.py:NAME or files of run configs; a function or Definition; or a list of runs.
SweepSource = str | Path | Sequence[str] | Definition | Callable[..., Sequence[RunConfig]] | Sequence[RunConfig]
SettingValues = Mapping[str, Any] | Sequence[str]  # values by name, or texts "name=value"


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """A sweep with its settings, as the user asked for it.

    Attributes:
        source: The sweep.
        name: Its name in the store; None: that of the source.
        corpus: Corpus, as given to `scaling prepare`; None: that of the definition or of the runs.
        tokenizer: Tokenizer, as given to `scaling prepare`.
        seed: Seed of every run.
        settings: Settings and fields, as for `--set`.
        code: Further files or modules of the user, whose blocks the runs may use.
    """

    source: SweepSource
    name: str | None = None
    corpus: str | None = None
    tokenizer: str = "bytes"
    seed: int = 0
    settings: SettingValues = ()
    code: Sequence[str] = ()

    @cached_property
    def definition(self) -> Definition:
        """The definition, with `code` added to its own; raises SweepError or ConfigError if it cannot be found."""
        named = [*self.code, *named_sources(setting_texts(self.settings))]  # --set model.mlp=FILE.py:NAME names a file
        use_code(named)
        definition = _definition(self.source)
        code = tuple(dict.fromkeys([*definition.code, *named]))
        use_code(code)
        return definition._replace(code=code)

    @cached_property
    def stored_name(self) -> str:
        """The name of the sweep in the store, which becomes a file name.

        Raises:
            SweepError: It has other characters than allowed, or none is given for a list of runs.
        """
        if self.name is not None:
            return check_name(self.name, "--as")
        if (names := source_names(self.source)) is not None:
            return check_name(sweep_name(*names), "the name of a sweep")
        name = getattr(getattr(self.source, "make", self.source), "__name__", "")
        if not name.isidentifier():
            raise SweepError("a list of runs has no name: give name=...")
        return str(name)

    @cached_property
    def parsed_settings(self) -> tuple[dict[str, Any], FieldGrid]:
        """The settings of the definition, and the fields of the configs.

        Raises:
            SweepError: A name is unknown, a value is not allowed, or a field is given by a setting or the seed as well.
        """
        definition, assignments = self.definition, setting_texts(self.settings)
        settings, fields = separate_fields(definition.make, assignments)
        grid = parse_fields(fields)
        check_settings(grid, {text.partition("=")[0]: text for text in settings})
        if self.seed and "seed" in grid:
            raise SweepError(f"--seed {self.seed}: --set gives seed as well: leave one of them out")
        if self.seed and not takes(definition.make, "seed"):
            raise SweepError(f"--seed {self.seed}: {self.label} takes no seed: use --set seed={self.seed}")
        bounded = any(definition.make is known.make for known in DEFINITIONS.values())
        return parse_settings(self.label, definition.make, settings, bounded=bounded), grid

    @property
    def label(self) -> str:
        """The sweep in messages."""
        names = source_names(self.source) or [self.name or "this sweep"]
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more files"

    def check(self) -> None:
        """Raises SweepError or ConfigError if the sweep or a setting is not valid; the corpus is not needed."""
        _ = self.parsed_settings, self.stored_name

    @property
    def corpus_name(self) -> str | None:
        """The corpus, as given to `scaling prepare`; None: that of the runs."""
        return self.corpus or self.definition.corpus

    def find_corpus(self, store: Store) -> Corpus:
        """Returns the corpus of the sweep in a store; prepares it if its name is known and it is not there.

        Raises:
            SweepError: The corpus of the runs is not in the store, or the runs have several.
        """
        if self.corpus_name is not None:
            return corpora.find_or_prepare(store.root, self.corpus_name, self.tokenizer)
        return corpora.corpus_of_tokens(store.token_files, self._tokens())

    @contextlib.contextmanager
    def planning_corpus(self, store: Store | None) -> Iterator[Corpus]:
        """Context with the corpus in a store or, without a store, prepared in a temporary folder."""
        if store is not None:
            yield self.find_corpus(store)
            return
        if self.corpus_name is None:
            raise SweepError(f"{self.label}: the corpus of these runs is in a store: add --store DIR, or --corpus NAME")
        with corpora.planning_corpus(None, self.corpus_name, self.tokenizer) as corpus:
            yield corpus

    def _tokens(self) -> str:
        """Returns the content hash of the corpus of runs that name it themselves."""
        if takes(self.definition.make, "corpus"):
            raise SweepError(
                f"{self.label}: Definition.corpus is None, but its function has a corpus: add --corpus NAME"
            )
        hashes = {config.data.tokens: config.data.corpus for config in self._own_runs}
        if len(hashes) > 1:
            names = ", ".join(sorted(name or tokens[:12] for tokens, name in hashes.items()))
            raise SweepError(f"{self.label}: the runs are on several corpora ({names}): a sweep has one: divide them")
        (tokens,) = hashes
        if tokens == UNKNOWN_TOKENS:
            raise SweepError(f"{self.label}: the runs have no data.tokens: add --corpus NAME")
        return tokens

    @cached_property
    def _own_runs(self) -> list[RunConfig]:
        """The runs of a function without a parameter `corpus`, or of configs, which name their corpus themselves."""
        return self._make()

    def _make(self, **arguments: Any) -> list[RunConfig]:
        make, (settings, _) = self.definition.make, self.parsed_settings
        arguments |= {"seed": self.seed} if takes(make, "seed") else {}
        configs = make(**arguments, **settings)
        if not configs:
            raise SweepError(f"{self.label}: has no runs")
        return [with_block_hashes(config) for config in configs]

    def configs(self, corpus: Corpus) -> list[RunConfig]:
        """Returns the runs, with all settings, and with the content hash in each name of a user's block.

        Args:
            corpus: The corpus.

        Raises:
            SweepError: A setting is not allowed, or a run is on another corpus.
        """
        if takes(self.definition.make, "corpus"):
            configs = self._make(corpus=corpus)
        else:
            configs = self._own_runs
            if self.corpus is not None:
                configs = [_on_corpus(config, corpus) for config in configs]
        for config in configs:
            if config.data.tokens != corpus.tokens:
                raise SweepError(
                    f"{self.label}: data.tokens = {config.data.tokens[:12]}... is not the hash of corpus "
                    f"{corpus.name}, {corpus.tokens[:12]}...: use that of the corpus, or choose another --corpus"
                )
        _, grid = self.parsed_settings
        return apply_fields(configs, grid) if grid else configs

    def plan(self, corpus: Corpus, store: Store | None) -> Plan:
        """Plans the sweep.

        Args:
            corpus: Its corpus.
            store: If given, the plan includes the statuses and checkpoints of its runs.
        """
        _, grid = self.parsed_settings
        return dataclasses.replace(plan_sweep(self.configs(corpus), corpus, store), fields=grid)


def source_names(source: SweepSource) -> list[str] | None:
    """Returns the sweep as on the command line: one name, or files of run configs; None for an object."""
    if isinstance(source, str | Path):
        return [str(source)]
    if isinstance(source, Sequence) and source and all(isinstance(name, str | Path) for name in source):
        return list(map(str, source))
    return None


def is_list(source: SweepSource) -> bool:
    """Whether a sweep is a list of RunConfig, which has no name."""
    return isinstance(source, Sequence) and not isinstance(source, Definition) and source_names(source) is None


def _definition(source: SweepSource) -> Definition:
    if (names := source_names(source)) is not None:
        return find_definition(*names)
    if isinstance(source, Definition) or callable(source):
        return object_definition(source, getattr(source, "__name__", "this sweep"))
    return list_definition(check_configs(source, "this sweep"))


def _on_corpus(config: RunConfig, corpus: Corpus) -> RunConfig:
    data = dataclasses.replace(config.data, tokens=corpus.tokens, corpus=corpus.name)
    return dataclasses.replace(config, data=data)


def setting_texts(settings: SettingValues) -> list[str]:
    """Returns settings as on the command line, `name=value` each.

    Args:
        settings: Values by name; a list or tuple is a list of values, as after `--set`. Or texts, which are returned.
    """
    if isinstance(settings, Mapping):
        return [f"{name}={_value_text(value)}" for name, value in settings.items()]
    return list(settings)


def _value_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def check_name(name: str, title: str) -> str:
    """Returns the name of a sweep, which becomes a file name in the store.

    Args:
        name: The name.
        title: What it is, or its flag, for messages.

    Raises:
        SweepError: It has other characters than allowed.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise SweepError(f"{title} {name}: must consist of letters, digits, '_', '-' and '.'")
    return name
