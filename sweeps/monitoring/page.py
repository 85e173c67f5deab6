"""`status --html`: the status of a sweep as a self-contained HTML page that refreshes itself.

This module computes the content of the page; templates/page.html.j2 lays it out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scaling.store.files import DamagedFileError, write_atomic
from scaling.store.origin.paths import public_path
from scaling.store.record import Store
from sweeps.format import duration, short_count
from sweeps.monitoring.axes import LOSS, NAMES, Row, loss_curves
from sweeps.monitoring.health import health_lines
from sweeps.monitoring.machine import machine_cells, machine_lines
from sweeps.monitoring.svg import Axis, Chart, Curve, colours, lay_out
from sweeps.monitoring.terminal import RESUMABLE, cost_lines, has_loss, label, percent
from sweeps.monitoring.watch import sweep_ended
from sweeps.planning.plan import DAMAGED

REFRESH_SECONDS = 30.0  # refresh interval of a page that --watch does not rewrite
LOSS_CURVES = 12  # largest number of curves of held-out losses
LEARNING_CURVES = 60  # largest number of learning curves
NAMED_SIZES = 14  # largest number of sizes for which learning curves are labelled
BINS = 100  # bins of a learning curve
LISTED_RUNS = 1000  # largest number of rows of a table
LISTED_REASONS = 50  # largest number of listed errors
RUNS_PER_REASON = 6
NATS = "nats per token"
LEFT_COLOUR = "#D55E00"  # of a run that left the band
MACHINE_COLUMNS = ("MFU", "goodput", "peak memory")
_learning_points: dict[str, tuple[Any, list[tuple[float, float]]]] = {}  # by run, with the stamp of its record


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart with its title and a note; the chart is None while there is no data."""

    title: str
    chart: Chart | None
    note: str


@dataclass(frozen=True)
class Column:
    """A column of a table. kind: "code", "state", "number" or "text"."""

    name: str
    kind: str = "number"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table. unlisted: runs without a row."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    unlisted: str = ""


def write_page(path: Path, store: Store, status: dict[str, Any], every: float | None = None) -> Path:
    """Writes the page atomically and returns its path.

    Args:
        path: The file.
        store: The store with the runs, for their learning curves.
        status: `status.status` of the sweep.
        every: Seconds until the page is written again; None: REFRESH_SECONDS.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined,
    )  # fmt: skip
    environment.filters["coordinate"] = "{:.1f}".format
    text = environment.get_template("page.html.j2").render(
        refresh=None if sweep_ended(status) else max(1, round(every or REFRESH_SECONDS)),
        written=time.strftime("%Y-%m-%d %H:%M:%S"),
        store=public_path(store.root.resolve()),
        losses=losses(status),
        learning=learning(store, status),
        normalised=normalised_curves(status),
        failures=failures(status),
        running=running_table(status),
        runs=runs_table(status),
        **summary(status),
    )
    write_atomic(path, text.encode())
    return path


def summary(status: dict[str, Any]) -> dict[str, Any]:
    """Returns the counts of states, the share that is done, and the cost with the quote."""
    share, seconds_left = status["cost"]["share_done"], status["cost"].get("seconds_left")
    return {
        "sweep": status["sweep"],
        "percent_done": percent(share),
        "counts": [(state, f"{count:,}") for state, count in status["counts"].items() if count],
        "run_count": f"{len(status['runs']):,}",
        "bar_width": f"{100 * share:.1f}",
        "time_left": duration(seconds_left) if seconds_left else "",
        "cost": [
            line[:1].upper() + line[1:]
            for line in (*cost_lines(status["cost"]), *machine_lines(status.get("machine", {})))
        ],
    }


def losses(status: dict[str, Any]) -> Drawing:
    """Returns the drawing of held-out loss against size (a curve per budget) or the field that the sweep varies."""
    x, by = status["axes"]["x"], status["axes"]["by"]
    points = loss_curves(status["runs"], LOSS_CURVES)
    palette = colours(len(points), all(isinstance(value, int | float) for key in points for value in key))
    curves = [
        Curve(points=curve, colour=colour, name=label(key), mark=i)
        for i, ((key, curve), colour) in enumerate(zip(points.items(), palette, strict=True))
    ]
    isoflop = by[:1] == ["budget"]
    title = "IsoFLOP curves" if isoflop else f"Held-out loss against {NAMES.get(x, x)}"
    note = ""
    if by:
        note = ", ".join(["One curve per budget, in FLOPs", *by[1:]]) if isoflop else f"Curves by {', '.join(by)}"
        undrawn = len({tuple(run["by"]) for run in status["runs"] if run["x"] is not None}) - len(points)
        note += f"; {undrawn} more are not drawn." if undrawn else "."
    log = all(value > 0 for curve in points.values() for value, _ in curve)
    y = Axis(name=status["axes"].get("loss", LOSS), log=False, text=_loss_text)
    return Drawing(
        title=title, chart=lay_out(curves, Axis(name=NAMES.get(x, x), log=log, text=short_count), y, title), note=note
    )


def _loss_text(value: float) -> str:
    return f"{value:.4g}"


def learning(store: Store, status: dict[str, Any]) -> Drawing | None:
    """Returns the drawing of training loss against training FLOPs; None if no run has started.

    Args:
        store: The store with the runs.
        status: `status.status` of the sweep.
    """
    started = [run for run in status["runs"] if run["state"] != "waiting" and "sae" not in run]
    chosen = _spread(started)
    sizes = sorted({run["N"] for run in chosen})
    palette = dict(zip(sizes, colours(len(sizes), ordered=True), strict=True))
    unnamed = set(sizes) if len(sizes) <= NAMED_SIZES else set()
    curves = []
    for run in sorted(chosen, key=lambda run: -run["C"]):
        points = learning_curve(store, run)
        if points:
            name = f"N {short_count(run['N'])}" if run["N"] in unnamed else ""
            unnamed.discard(run["N"])
            about = f"{run['run_id'][:12]}, {size(run)}, {run['state']}"
            curves.append(Curve(points=points, colour=palette[run["N"]], name=name, about=about, faint=True))
    if not curves:
        return None
    title = "Learning curves"
    x = Axis(name="training FLOPs", log=True, text=short_count)
    y = Axis(name=f"training loss, {NATS}", log=True, text=_loss_text)
    note = f"{len(curves)} of {len(started):,} started runs, from small (dark) to large; hover over a curve for details"
    return Drawing(title=title, chart=lay_out(curves, x, y, title), note=note)


def normalised_curves(status: dict[str, Any]) -> Drawing | None:
    """Returns the drawing of learning curves normalised by their end; None if no curve can be normalised.

    Args:
        status: `status.status` of the sweep.
    """
    health = status.get("health", {})
    left = {entry["run_id"] for entry in health.get("left_band", ())}
    runs = {run["run_id"]: run for run in status["runs"]}
    drawn = {name: points for name, points in health.get("normalised", {}).items() if len(points) > 1}
    sizes = sorted({runs[name]["N"] for name in drawn})
    palette, curves = dict(zip(sizes, colours(len(sizes), ordered=True), strict=True)), []
    for name in sorted(drawn, key=lambda name: (name in left, runs[name]["N"])):  # those that left lie on top
        points = [(share, value) for share, value in drawn[name] if value > 0]
        colour, shown = (LEFT_COLOUR, name[:12]) if name in left else (palette[runs[name]["N"]], "")
        about = f"{name[:12]}, {size(runs[name])}, {runs[name]['state']}"
        curves.append(Curve(points=points, colour=colour, name=shown, about=about, faint=name not in left))
    if not curves:
        return None
    title = "Learning curves normalised by their end"
    offset = f" − {health['irreducible_loss']:.3g}" if "irreducible_loss" in health else ""
    x = Axis(name="share of the tokens", log=False, text="{:.0%}".format)
    y = Axis(name=f"(loss{offset}) / (end loss{offset})", log=True, text="{:.3g}".format)
    lines = [f"{line[:1].upper()}{line[1:]}." for line in health_lines(health, LISTED_REASONS)]
    note = " ".join(["From small models (dark) to large.", *lines])
    return Drawing(title=title, chart=lay_out(curves, x, y, title), note=note)


def _spread(started: list[Row]) -> list[Row]:
    """Returns at most LEARNING_CURVES runs: up to half of them running, the others evenly spaced."""
    first = [run for run in started if run["state"] == "running"][: LEARNING_CURVES // 2]
    rest = [run for run in started if run not in first] if len(started) <= LEARNING_CURVES * 20 else started
    count = LEARNING_CURVES - len(first)
    return first + (rest if len(rest) <= count else [rest[i * len(rest) // count] for i in range(count)])


def learning_curve(store: Store, run: Row) -> list[tuple[float, float]]:
    """Returns training FLOPs and mean training loss of a run, in BINS bins with logarithmic widths.

    Args:
        store: The store with the run.
        run: Its row of the status.
    """
    stamp = (run["state"], run.get("seconds"))
    if run["state"] in ("done", "diverged", "failed") and _learning_points.get(run["run_id"], (None,))[0] == stamp:
        return _learning_points[run["run_id"]][1]
    bins: dict[int, list[tuple[float, float]]] = {}
    try:
        rows = store.curve(run["run_id"])
        if (record := store.read(run["run_id"])) is not None:
            store.check_result(record)  # the curve may be that of another run
    except DamagedFileError as error:
        store.note_damaged(error)
        return []
    for row in rows:
        if "loss" not in row:
            continue
        place = round(BINS * math.log(row["step"]) / max(1.0, math.log(run["steps"])))
        bins.setdefault(place, []).append((row["step"], row["loss"]))
    flops_per_step = run["C"] / run["steps"]
    means = [[sum(values) / len(values) for values in zip(*pairs, strict=True)] for pairs in bins.values()]
    points = [(step * flops_per_step, loss) for step, loss in means if loss > 0]
    _learning_points[run["run_id"]] = (stamp, points)
    return points


def failures(status: dict[str, Any]) -> dict[str, Any]:
    """Returns the failed, diverged and stopped runs grouped by error, with the log of one run per group."""
    reasons: dict[tuple[str, str], list[Row]] = {}
    for state in (DAMAGED, "failed", "diverged", "interrupted", "stopped"):
        otherwise = "resumes at the next launch" if state in RESUMABLE else ""
        for run in status["runs"]:
            if run["state"] == state:
                reasons.setdefault((state, str(run.get("error", otherwise))), []).append(run)
    rows = [
        {
            "state": state,
            "error": error,
            "count": f"{len(runs):,}",
            "runs": [{"run_id": run["run_id"][:12], "size": size(run)} for run in runs[:RUNS_PER_REASON]],
            "more": f"{len(runs) - RUNS_PER_REASON:,}" if len(runs) > RUNS_PER_REASON else "",
            "log": "\n".join(next((run["log"] for run in runs if run.get("log")), [])),
        }
        for (state, error), runs in list(reasons.items())[:LISTED_REASONS]
    ]
    return {"reasons": rows, "more": f"{len(reasons) - len(rows):,}" if len(reasons) > len(rows) else ""}


def size(run: Row) -> str:
    """Returns width × layers of a run."""
    return f"{run['width']} × {run['layers']}"


def running_table(status: dict[str, Any]) -> Table | None:
    """Returns the table of running runs, or None if no run is running."""
    runs = [run for run in status["runs"] if run["state"] == "running"]
    if not runs:
        return None
    columns = (
        Column("run", "code"), Column("width × layers", "text"), Column("step"), Column(""), Column("loss"),
        Column("tokens/s"), Column("left"), *map(Column, MACHINE_COLUMNS),
    )  # fmt: skip
    rows = [
        (
            run["run_id"][:12], size(run), f"{run['step']:,}/{run['steps']:,}" if "step" in run else "",
            percent(run["step"] / run["steps"]) if "step" in run else "",
            _loss_text(run["train_loss"]) if "train_loss" in run else "",
            short_count(run["tokens_per_second"]) if "tokens_per_second" in run else "",
            duration(run["seconds_left"]) if "seconds_left" in run else "", *machine_cells(run),
        )
        for run in runs[:LISTED_RUNS]
    ]  # fmt: skip
    return Table(columns=columns, rows=rows)


def runs_table(status: dict[str, Any]) -> Table:
    """Returns the table of all runs, in which the lowest loss of each isoFLOP curve is marked."""
    lowest: dict[tuple[Any, ...], float] = {}
    for run in status["runs"]:
        if has_loss(run) and "budget" in run:
            lowest[tuple(run["by"])] = min(run["loss"], lowest.get(tuple(run["by"]), math.inf))
    names = (status["axes"]["x"], *status["axes"]["by"])
    swept = [name for name in names if name not in ("N", "D")]
    machine = MACHINE_COLUMNS[:2] if any("machine" in run for run in status["runs"]) else ()  # wide enough
    figures = ("N", "D", "C", "steps", "held-out loss", "machine time", *machine)
    columns = [Column("run", "code"), Column("state", "state"), *map(Column, swept), Column("width × layers", "text")]
    rows = []
    for run in status["runs"][:LISTED_RUNS]:
        values = dict(zip(names, (run["x"], *run["by"]), strict=True))
        fields = [label((values[name],)) if values[name] is not None else "" for name in swept]
        mark = "*" if has_loss(run) and run["loss"] == lowest.get(tuple(run["by"])) else " "
        loss = f"{run['loss']:.4f}{mark}" if "loss" in run else ""
        seconds = duration(run["machine_seconds"]) if "machine_seconds" in run else ""
        sizes = [short_count(run[name]) for name in "NDC"]
        cells = (run["run_id"][:12], run["state"], *fields, size(run), *sizes, f"{run['steps']:,}", loss, seconds)
        rows.append((*cells, *machine_cells(run)[: len(machine)]))
    unlisted = len(status["runs"]) - len(rows)
    return Table(columns=[*columns, *map(Column, figures)], rows=rows, unlisted=f"{unlisted:,}" if unlisted else "")
