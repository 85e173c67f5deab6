"""A sweep's status as text: states, cost, losses, loss curves, unfinished runs, and failures with their errors.

Lines are rich texts; a pipe receives the same characters as a terminal, without styles. Names, states, errors and lines
of logs are literal text, with control characters escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from scaling.config.text import printable
from sweeps.format import duration, short_count, text_table
from sweeps.monitoring.axes import LOSS, NAMES, Row, loss_curves, sorted_keys
from sweeps.monitoring.braille import LETTERS, PlotAxes, plot
from sweeps.monitoring.health import health_lines
from sweeps.monitoring.machine import machine_lines, share, slow_steps
from sweeps.monitoring.status import STATES
from sweeps.planning.plan import DAMAGED

COLOURS = ("cyan", "yellow", "magenta", "green", "bright_blue", "red", "white", "bright_green")  # of curves
STYLES = {"done": "green", "running": "cyan", "failed": "bold red", "diverged": "yellow", "stopped": "yellow",
          "interrupted": "yellow", "unknown": "magenta", DAMAGED: "bold red"}  # fmt: skip
RESUMABLE = ("stopped", "interrupted")  # states of runs that the next launch resumes
CURVES = 12  # largest number of curves in the plot
LISTED = (12, 6, 3)  # largest number of listed runs per state; smaller values are used if there are too few lines
PLOT_LINES, LEAST_PLOT_LINES = 12, 6
PLOT_FRAME = 5  # additional lines of a plot: blank, title, axis, ticks, legend
LEAST_BAR_CELLS, MOST_BAR_CELLS = 10, 40  # characters of the bar
BAR_TEXT = 40  # characters reserved for the text after the bar


def screen(status: dict[str, Any], width: int = 80, height: int | None = None) -> list[Text]:
    """Returns the status in lines of at most about `width` characters.

    Args:
        status: `status.status` of the sweep.
        width: Characters of a line.
        height: Largest number of lines; None: unlimited. If necessary, fewer runs are listed, then the plot shrinks,
            and finally the table of losses is omitted.
    """
    head, losses, curves = header(status, width), losses_table(status, width), loss_plot(status, width, PLOT_LINES)
    runs = run_lines(status["runs"], LISTED[0])
    if height is None:
        return head + losses + curves + runs
    lines = height - 1
    for listed in LISTED:
        runs = run_lines(status["runs"], listed)
        if len(head) + len(runs) + len(losses) + len(curves) <= lines:
            break
    if len(head) + len(runs) + len(losses) + len(curves) > lines:
        plot_lines = lines - len(head) - len(runs) - len(losses) - PLOT_FRAME
        curves = loss_plot(status, width, plot_lines) if plot_lines >= LEAST_PLOT_LINES else []
    if len(head) + len(runs) + len(losses) > lines:
        losses = []
    return (head + losses + curves + runs)[:lines]


def header(status: dict[str, Any], width: int) -> list[Text]:
    """Returns the counts of states, a progress bar by FLOPs with the time left, the cost, and what machines tell.

    Args:
        status: `status.status` of the sweep.
        width: Characters of a line.
    """
    line, separator = Text(f"sweep {printable(status['sweep'])}: ", "bold"), ""
    for state, count in status["counts"].items():
        if count:
            line = Text.assemble(line, separator, (f"{count:,} {printable(state)}", STYLES.get(state, "")))
            separator = ", "
    line = Text.assemble(line, f" of {len(status['runs']):,} runs")
    share, seconds_left = status["cost"]["share_done"], status["cost"].get("seconds_left")
    cells = max(LEAST_BAR_CELLS, min(MOST_BAR_CELLS, width - BAR_TEXT))
    full = int(share * cells)
    text = f"  {percent(share)} of the FLOPs" + (f", {duration(seconds_left)} left" if seconds_left else "")
    bar = Text.assemble(("█" * full, "green"), "░" * (cells - full), text)
    facts = (*cost_lines(status["cost"]), *machine_lines(status.get("machine", {})))
    return [line, bar, *map(Text, facts), *health_texts(status.get("health", {}))]


def health_texts(health: dict[str, Any]) -> list[Text]:
    """Returns the lines on the learning curves of the runs, those that name a run in the colour of a warning."""
    return [Text(printable(line), "yellow" if health["left_band"] else "") for line in health_lines(health)]


def percent(share: float) -> str:
    """Returns a share as a percentage, which is below 100% unless the share is 1."""
    return f"{min(99.9, 100 * share) if share < 1 else 100:.3g}%"


def cost_lines(cost: dict[str, Any]) -> list[str]:
    """Returns one or two lines with the cost so far and the quote."""
    if "flops_spent" in cost:
        flops = f"{short_count(cost['flops_spent'])} FLOPs spent of {short_count(cost['flops_quoted'])} quoted"
    else:
        flops = f"FLOPs quoted: {short_count(cost['flops_quoted'])}"
    lines = [flops + (f", {machine_time(cost['hours'])} of machine time" if "hours" in cost else "")]
    if "quote" in cost:
        quoted = cost["quote"]
        usd = money(cost["usd"]) if "usd" in cost else "nothing"
        market = "spot" if quoted["spot"] else "on demand"
        lines.append(
            f"{usd} of {money(quoted['usd'])} quoted for {quoted['slice']} ({market}, {quoted['mfu']:.0%} of peak, "
            f"prices of {quoted['prices_of']})"
        )
    return lines


def money(usd: float) -> str:
    """Formats dollars with cents, or with one significant digit below one cent."""
    return f"${usd:,.2f}" if usd >= 0.01 or not usd else f"${usd:.1g}"


def machine_time(hours: float) -> str:
    """Formats hours of machine time, as a duration below one day."""
    return duration(hours * 3600) if hours < 24 else f"{hours:,.0f} h"


def losses_table(status: dict[str, Any], width: int) -> list[Text]:
    """Returns the table of losses by budget and size or, if it is too wide, a line per budget.

    Args:
        status: `status.status` of the sweep; the result is empty for a sweep without budgets.
        width: Characters of a line.
    """
    runs, by = [run for run in status["runs"] if "budget" in run], status["axes"]["by"]
    if not runs or "loss" in status["axes"]:  # autoencoders have no budgets
        return []
    text, note = isoflop_table(runs, by), "(held-out loss, nats per token; *: lowest of its row)"
    if max(map(len, text.splitlines())) > width:
        text, note = curves_table(runs, by), "(held-out loss, nats per token, and the size at which it is lowest)"
    return [Text(), *map(Text, text.splitlines()), Text(note, "dim")]


def isoflop_table(runs: list[Row], by: list[str]) -> str:
    """Returns the held-out loss by curve (rows) and size (columns); `*` marks the lowest of a row, a dot a waiting run.

    Args:
        runs: Rows of the status.
        by: Fields that separate the curves.
    """
    sizes = sorted({(run["N"], run["width"]) for run in runs})
    rows = []
    for key, curve in runs_by_curve(runs).items():
        cells = runs_by_size(curve)
        lowest = min(_losses(cells).values(), default=None)
        rows.append([label(key), *(cell(cells[size], lowest) if size in cells else "" for size in sizes)])
    return text_table([f"{', '.join(by)} \\ N", *(short_count(size) for size, _ in sizes)], rows)


def curves_table(runs: list[Row], by: list[str]) -> str:
    """Returns for each curve the number of runs that are done, the lowest loss, and its size.

    Args:
        runs: Rows of the status.
        by: Fields that separate the curves.
    """
    rows = []
    for key, curve in runs_by_curve(runs).items():
        losses = _losses(runs_by_size(curve))
        best = min(losses, key=lambda size: losses[size], default=None)
        lowest = ["", ""] if best is None else [f"{losses[best]:.3f}", short_count(best[0])]
        rows.append([label(key), f"{sum(run['state'] == 'done' for run in curve)}/{len(curve)}", *lowest])
    return text_table([", ".join(by), "done", "lowest", "at N"], rows)


def runs_by_curve(runs: list[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """Returns the runs of each curve, in order of curves."""
    curves: dict[tuple[Any, ...], list[Row]] = {}
    for run in runs:
        curves.setdefault(tuple(run["by"]), []).append(run)
    return {key: curves[key] for key in sorted_keys(curves)}


def runs_by_size(runs: list[Row]) -> dict[tuple[int, int], list[Row]]:
    """Returns the runs of each size by N and width, which differ in their seed."""
    sizes: dict[tuple[int, int], list[Row]] = {}
    for run in runs:
        sizes.setdefault((run["N"], run["width"]), []).append(run)
    return sizes


def _losses(sizes: dict[tuple[int, int], list[Row]]) -> dict[tuple[int, int], float]:
    return {size: loss for size, runs in sizes.items() if (loss := mean_loss(runs)) is not None}


def has_loss(run: Row) -> bool:
    """Returns whether a run is done and has a held-out loss."""
    return run["state"] == "done" and "loss" in run


def mean_loss(runs: list[Row]) -> float | None:
    """Returns the mean of the known losses, or None if no loss is known."""
    losses = [run["loss"] for run in runs if has_loss(run)]
    return sum(losses) / len(losses) if losses else None


def cell(runs: list[Row], lowest: float | None) -> str:
    """Returns the table cell of a size: the mean loss of its seeds, or their state.

    Args:
        runs: Runs of the size.
        lowest: Lowest loss of the row, which is marked by `*`.
    """
    loss = mean_loss(runs)
    if loss is not None:
        return f"{loss:.3f}" + ("*" if loss == lowest else " ")
    state = next((run["state"] for run in runs if run["state"] != "waiting"), "waiting")
    return ". " if state == "waiting" else f"{state} "


def loss_plot(status: dict[str, Any], width: int, height: int) -> list[Text]:
    """Returns a plot of held-out loss against size or the swept field, a curve per budget or other field.

    Args:
        status: `status.status` of the sweep.
        width: Characters of a line.
        height: Lines of the plot without its frame.
    """
    x, by = status["axes"]["x"], status["axes"]["by"]
    curves = loss_curves(status["runs"], CURVES)
    values = [value for points in curves.values() for value, _ in points]
    if len(set(values)) < 2:
        return []
    axes = PlotAxes(log_x=min(values) > 0, x_text=short_count, y_text="{:.3f}".format)
    lines = plot(list(curves.values()), width, height, axes, COLOURS)
    legend = [Text(NAMES.get(x, x))]
    if by:
        legend.append(Text(f"; {', '.join(by)}:"))
        for i, key in enumerate(curves):
            legend.append(Text(f"  {LETTERS[i]} {label(key)}", COLOURS[i % len(COLOURS)]))
    return [Text(), Text(status["axes"].get("loss", LOSS), "dim"), *lines, *_wrap(legend, width)]


def label(key: Iterable[Any]) -> str:
    """Returns the name of a curve: the values of the fields that separate the curves."""
    return ", ".join(
        short_count(v) if isinstance(v, int | float) and not isinstance(v, bool) else printable(str(v)) for v in key
    )


def _wrap(parts: list[Text], width: int) -> list[Text]:
    """Joins parts to lines of at most `width` characters, with line breaks between parts."""
    lines = [Text()]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append(Text())
        lines[-1] = Text.assemble(lines[-1], part)
    return lines


def run_lines(runs: list[Row], most: int) -> list[Text]:
    """Returns lines for the runs that are neither done nor waiting, with the last log lines of failed runs.

    Args:
        runs: Rows of the status.
        most: Largest number of listed runs per state.
    """
    lines: list[Text] = []
    listed = ("running", *RESUMABLE, "diverged", "failed", DAMAGED)
    groups = {state: [run for run in runs if run["state"] == state] for state in listed}
    groups["unknown"] = [run for run in runs if run["state"] not in STATES]
    for state, chosen in groups.items():
        for run in chosen[:most]:
            lines.append(Text(run_line(run), STYLES[state]))
            lines += [Text(f"    {printable(line)}", "dim") for line in run.get("log", [])]
        if len(chosen) > most:
            lines.append(Text(f"and {len(chosen) - most:,} more {state}", STYLES[state]))
    return [Text(), *lines] if lines else []


def run_line(run: Row) -> str:
    """Returns the line of a run that is neither done nor waiting."""
    parts = [f"{run['run_id'][:12]}  {run['state']:<11}  {run['width']} × {run['layers']}"]
    if "step" in run:
        parts.append(f"step {run['step']:,}/{run['steps']:,}")
    if "train_loss" in run:
        parts.append(f"loss {run['train_loss']:.3f}")
    if "tokens_per_second" in run:
        parts.append(f"{short_count(run['tokens_per_second'])} tokens/s")
    if "seconds_left" in run:
        parts.append(f"{duration(run['seconds_left'])} left")
    machine = run.get("machine", {})
    if run["state"] == "running" and "mfu" in machine:
        parts.append(f"MFU {share(machine['mfu'])}")
    if machine.get("slow_steps"):
        parts.append(slow_steps(machine["slow_steps"]))
    if run["state"] in RESUMABLE:
        parts.append("resumes at the next launch")
    if run["state"] not in STATES:
        parts.append("a status that this version does not know: update this installation")
    if "error" in run:
        parts.append(str(run["error"]))
    return printable(", ".join(parts))


def as_text(status: dict[str, Any], width: int = 80) -> str:
    """Returns the status without styles.

    Args:
        status: `status.status` of the sweep.
        width: Characters of a line.
    """
    return "\n".join(line.plain.rstrip() for line in screen(status, width))
