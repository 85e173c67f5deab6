"""`sweeps.plan`: the runs of a sweep and what they cost, without training anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.config.run import RunConfig
from scaling.store.damaged import damaged_files
from scaling.store.open import open_store
from scaling.store.record import Store
from sweeps.cost.spend import DEFAULT_MFU
from sweeps.interface import plan_table
from sweeps.interface.html import html_table
from sweeps.interface.request import SettingValues, SweepRequest, SweepSource, is_list
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import Plan, plan_cost

if TYPE_CHECKING:
    import pandas as pd

    from sweeps.cost.quote import PricedSlice

FRAME_COLUMNS = [
    "run_id", "budget", "N", "D", "C", "tokens_per_parameter", "epochs", "width", "layers", "length", "batch", "steps",
    "lr", "from_step", "status",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What a plan is quoted for.

    Attributes:
        priced: TPU slice, or other devices with a price, for which time, dollars, energy and CO2 are quoted.
        mfu: Model FLOPs utilisation of that slice.
        pack: Largest number of runs of one shape that are trained as one program; None: chosen for this machine.
    """

    priced: PricedSlice | None = None
    mfu: float = DEFAULT_MFU
    pack: int | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class SweepPlan:
    """The runs of a sweep and their cost. `print` shows it as `python -m sweeps plan` does; a notebook shows a table.

    Attributes:
        name: Name of the sweep in a store.
        plan: The runs in order of execution, with their sizes, FLOPs and shared prefixes.
        rate: FLOP/s of this machine, from the finished runs in the store; None if it is not known.
        quote: Time, dollars, energy and CO2 on a slice; None without a slice.
        sharing: Lines about shared prefixes and packs.
        graph: The same as JSON types.
        damaged: Files of the store that could not be used: the `path` and the `problem` of each.
    """

    name: str
    plan: Plan
    rate: float | None
    quote: dict[str, Any] | None
    sharing: Sequence[str]
    graph: dict[str, Any]
    damaged: Sequence[dict[str, str]] = ()

    @property
    def configs(self) -> list[RunConfig]:
        """The runs, in order of execution."""
        return [run.config for run in self.plan.runs]

    @property
    def corpus(self) -> Corpus:
        """The corpus of the runs."""
        return self.plan.corpus

    @property
    def cost(self) -> dict[str, Any]:
        """FLOPs and tokens: of separate runs, with shared prefixes, and remaining; seconds left if known."""
        return plan_cost(self.plan, self.rate) | ({"quote": self.quote} if self.quote else {})

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as JSON types, as `plan --json` prints it."""
        table = plan_table.as_json(self.plan, self.rate, self.quote)
        return {"sweep": self.name, **table, "graph": self.graph, "damaged": list(self.damaged)}

    def to_pandas(self) -> pd.DataFrame:
        """Returns a DataFrame with a row per run and FRAME_COLUMNS; the status of a run without a record is missing."""
        import pandas as pd  # here, because it takes 0.3 s

        rows = plan_table.as_json(self.plan, self.rate)["runs"]
        return pd.DataFrame(rows, columns=FRAME_COLUMNS)

    def __repr__(self) -> str:
        return f"SweepPlan({self.name!r}, {len(self.plan.runs)} runs)"

    def __str__(self) -> str:
        return plan_table.as_text(self.plan, self.rate, self.quote, self.sharing)

    def _repr_html_(self) -> str:
        table = html_table(plan_table.RUN_COLUMNS, plan_table.run_rows(self.plan))
        return table + html_table([], [[line] for line in plan_table.summary_lines(self.plan, self.rate, self.quote)])


def plan(
    sweep: SweepSource,
    *,
    store: str | Path | None = None,
    corpus: str | None = None,
    tokenizer: str = "bytes",
    seed: int = 0,
    settings: SettingValues = (),
    code: Sequence[str] = (),
    options: PlanOptions = PlanOptions(),
) -> SweepPlan:
    """Plans a sweep; trains nothing.

    Args:
        sweep: A known sweep such as "quickstart"; "FILE.py:NAME"; files of run configs such as "runs/*.json"; a
            function or `Definition`; or a list of RunConfig.
        store: Folder or address of a store, whose finished runs and checkpoints the plan counts; None: none. Runs that
            name their corpus by its hash need a store, or `corpus`.
        corpus: Corpus, as given to `scaling prepare`; None: that of the sweep.
        tokenizer: Tokenizer, as given to `scaling prepare`.
        seed: Seed of every run.
        settings: Settings of the sweep and fields of the configs, as for `--set`: {"rules": "small"}.
        code: Files of the user whose blocks the runs use.
        options: Slice for which the plan is quoted.

    Raises:
        SweepError: The sweep, a setting or a run config is not valid.
        ConfigError: The user's code raises an error; the message names its file and line.
    """
    request = SweepRequest(
        source=sweep, name="runs" if is_list(sweep) else None, corpus=corpus, tokenizer=tokenizer, seed=seed,
        settings=settings, code=code,
    )  # fmt: skip
    request.check()
    return plan_request(request, fetch_store(store) if store is not None else None, options)


def plan_request(request: SweepRequest, store: Store | None, options: PlanOptions) -> SweepPlan:
    """Plans a sweep.

    Args:
        request: The sweep.
        store: If given, the plan counts its finished runs and checkpoints.
        options: Slice for which the plan is quoted.
    """
    from sweeps.cost import sharing_saved
    from sweeps.cost.compiled_time import quote_plan
    from sweeps.cost.pace import estimate_seconds_left, measure_pace
    from sweeps.planning import sharing
    from sweeps.planning.workers import default_pack_size, default_workers

    with request.planning_corpus(store) as corpus:
        planned = request.plan(corpus, store)
        flops_left = plan_cost(planned)["flops_left"]
        pace = measure_pace(store) if store else None
        quoted = quote_plan(planned, store, options.priced, options.mfu) if options.priced else None
    size, reason = default_pack_size() if options.pack is None else (options.pack, "as requested")
    graph = sharing.sharing_graph([run.config for run in planned.runs], size, planned.starts)
    saving = sharing_saved.savings(planned, graph, default_workers(), pace)
    return SweepPlan(
        name=request.stored_name,
        plan=planned,
        rate=flops_left / estimate_seconds_left(planned, pace) if pace and flops_left else None,
        quote=quoted,
        sharing=sharing_saved.as_text(graph, saving, size, reason),
        graph=sharing_saved.as_json(graph, saving),
        damaged=damaged_files(store) if store else (),
    )


def fetch_store(address: str | Path) -> Store:
    """Opens a store and fetches its records and token files to this machine.

    Args:
        address: Folder, s3://... or gs://...
    """
    store = open_store(str(address))
    store.fetch_results()
    store.fetch_tokens()
    return store
