"""A sweep's status for a person: state, cost, losses and curves as they fill, what runs, what failed and why.

Lines are spans of text and style (a style of rich, or none), so that a pipe has the same text as a terminal.
"""

from __future__ import annotations

from typing import Any

from sweeps.format import duration, short, table
from sweeps.status.axes import NAMES, Row, in_order, series
from sweeps.status.braille import LETTERS, plot

Span = tuple[str, str | None]
Line = list[Span]
COLOURS = ("cyan", "yellow", "magenta", "green", "bright_blue", "red", "white", "bright_green")
STYLES = {"done": "green", "running": "cyan", "failed": "bold red", "diverged": "yellow", "stopped": "yellow",
          "interrupted": "yellow"}  # fmt: skip
CURVES = 12  # drawn at once
AT_ONCE = 12  # runs of a state that are listed
PLOT = 12  # lines


def screen(of: dict[str, Any], width: int = 80, height: int | None = None) -> list[Line]:
    """The whole status in lines of at most about `width` characters; within `height` lines, the plot goes first."""
    head = header(of, width)
    losses = losses_table(of, width)
    curves = drawn(of, width, PLOT)
    told = runs_told(of["runs"], AT_ONCE)
    if height is not None:
        room = height - 1
        for listed in (AT_ONCE, 6, 3):
            told = runs_told(of["runs"], listed)
            if len(head) + len(told) + len(losses) + len(curves) <= room:
                break
        if len(head) + len(told) + len(losses) + len(curves) > room:
            spare = room - len(head) - len(told) - len(losses) - 5
            curves = drawn(of, width, spare) if spare >= 6 else []
        if len(head) + len(told) + len(losses) > room:
            losses = []
        return (head + losses + curves + told)[:room]
    return head + losses + curves + told


def header(of: dict[str, Any], width: int) -> list[Line]:
    """Counts, a bar by FLOPs with the time left, and the cost against the quote."""
    line: Line = [(f"sweep {of['sweep']}: ", "bold")]
    for state, n in of["counts"].items():
        if n:
            line += [(", ", None)] if len(line) > 1 else []
            line.append((f"{n:,} {state}", STYLES.get(state)))
    line.append((f" of {len(of['runs']):,} runs", None))
    share, left = of["cost"]["share_done"], of["cost"].get("seconds_left")
    cells = max(10, min(40, width - 40))
    full = int(share * cells)
    then = f"  {percent(share)} of the FLOPs" + (f", {duration(left)} left" if left else "")
    bar: Line = [("█" * full, "green"), ("░" * (cells - full), None), (then, None)]
    return [line, bar, *map(plain, cost_lines(of["cost"]))]


def plain(text: str) -> Line:
    """A line without a style."""
    return [(text, None)]


def percent(share: float) -> str:
    """A share, never 100% before it is all."""
    return f"{min(99.9, 100 * share) if share < 1 else 100:.3g}%"


def cost_lines(cost: dict[str, Any]) -> list[str]:
    """Cost so far against the quote."""
    so_far = f"{short(cost['flops_spent'])} FLOPs spent of " if "flops_spent" in cost else "FLOPs quoted: "
    spent = so_far + short(cost["flops_quoted"]) + (" quoted" if "flops_spent" in cost else "")
    if "hours" in cost:
        spent += f", {machine_time(cost['hours'])} of machine time"
    lines = [spent]
    if "quote" in cost:
        quoted = cost["quote"]
        so_far = money(cost["usd"]) if "usd" in cost else "nothing"
        how = "spot" if quoted["spot"] else "on demand"
        lines.append(
            f"{so_far} of {money(quoted['usd'])} quoted for {quoted['slice']} ({how}, {quoted['mfu']:.0%} of peak, "
            f"prices of {quoted['prices_of']})"
        )
    return lines


def money(usd: float) -> str:
    """Dollars, to the cent, or to a digit where there are no cents."""
    return f"${usd:,.2f}" if usd >= 0.01 or not usd else f"${usd:.1g}"


def machine_time(hours: float) -> str:
    """Hours of a machine, as a duration below a day."""
    return duration(hours * 3600) if hours < 24 else f"{hours:,.0f} h"


def losses_table(of: dict[str, Any], width: int) -> list[Line]:
    """The isoFLOP table, or where it is too wide a line a curve; nothing for a sweep without budgets."""
    runs, by = [run for run in of["runs"] if "budget" in run], of["axes"]["by"]
    if not runs:
        return []
    text, note = isoflop_table(runs, by), "(held-out loss, nats a token; *: lowest of its row)"
    if max(map(len, text.splitlines())) > width:
        text, note = curves_table(runs, by), "(held-out loss, nats a token, and the size it is at)"
    return [[], *map(plain, text.splitlines()), [(note, "dim")]]


def isoflop_table(runs: list[Row], by: list[str]) -> str:
    """Held-out loss by curve (rows) and size (columns), the lowest of each row marked; a dot: not there yet."""
    sizes = sorted({(run["N"], run["width"]) for run in runs})
    rows = []
    for key, of in by_curve(runs).items():
        cells = by_size(of)
        means = [loss for here in cells.values() if (loss := mean_loss(here)) is not None]
        here = [cell(cells[size], min(means, default=None)) if size in cells else "" for size in sizes]
        rows.append([label(key), *here])
    return table([f"{', '.join(by)} \\ N", *(short(size) for size, _ in sizes)], rows)


def curves_table(runs: list[Row], by: list[str]) -> str:
    """Each curve's runs done, lowest loss, and size there."""
    rows = []
    for key, of in by_curve(runs).items():
        means = {size: loss for size, here in by_size(of).items() if (loss := mean_loss(here)) is not None}
        best = min(means, key=lambda size: means[size], default=None)
        at = ["", ""] if best is None else [f"{means[best]:.3f}", short(best[0])]
        rows.append([label(key), f"{sum(run['state'] == 'done' for run in of)}/{len(of)}", *at])
    return table([", ".join(by), "done", "lowest", "at N"], rows)


def by_curve(runs: list[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """The runs of each curve, in order of curves."""
    out: dict[tuple[Any, ...], list[Row]] = {}
    for run in runs:
        out.setdefault(tuple(run["by"]), []).append(run)
    return {key: out[key] for key in in_order(out)}


def by_size(runs: list[Row]) -> dict[tuple[int, int], list[Row]]:
    """The runs of each size, by N and width: the seeds of one config."""
    out: dict[tuple[int, int], list[Row]] = {}
    for run in runs:
        out.setdefault((run["N"], run["width"]), []).append(run)
    return out


def has_loss(run: Row) -> bool:
    return run["state"] == "done" and "loss" in run


def mean_loss(runs: list[Row]) -> float | None:
    """Mean of the losses there are, None where there is none."""
    losses = [run["loss"] for run in runs if has_loss(run)]
    return sum(losses) / len(losses) if losses else None


def cell(runs: list[Row], lowest: float | None) -> str:
    """The entry of a size in the table: its seeds' mean, or how far they are."""
    loss = mean_loss(runs)
    if loss is not None:
        return f"{loss:.3f}" + ("*" if loss == lowest else " ")
    state = next((run["state"] for run in runs if run["state"] != "waiting"), "waiting")
    return ". " if state == "waiting" else f"{state} "


def drawn(of: dict[str, Any], width: int, height: int) -> list[Line]:
    """Held-out loss against size or the swept field, a curve a budget (or another field), with a legend."""
    x, by = of["axes"]["x"], of["axes"]["by"]
    curves = series(of["runs"], CURVES)
    points = [x for curve in curves.values() for x, _ in curve]
    if len(set(points)) < 2:
        return []
    lines = plot(list(curves.values()), width, height, log_x=min(points) > 0, x_text=short, y_text="{:.3f}".format)
    out: list[Line] = [[(text, colour(curve)) for text, curve in line] for line in lines]
    legend: Line = [(f"{NAMES.get(x, x)}", None)]
    if by:
        legend.append((f"; {', '.join(by)}:", None))
        for i, key in enumerate(curves):
            legend.append((f"  {LETTERS[i]} {label(key)}", colour(i)))
    return [[], [("held-out loss, nats a token", "dim")], *out, *wrapped(legend, width)]


def label(key: tuple[Any, ...]) -> str:
    """What a curve is of."""
    return ", ".join(short(v) if isinstance(v, int | float) and not isinstance(v, bool) else str(v) for v in key)


def colour(curve: int | None) -> str | None:
    return None if curve is None else COLOURS[curve % len(COLOURS)]


def wrapped(line: Line, width: int) -> list[Line]:
    """A line of spans as lines no longer than `width`, broken between spans."""
    out: list[Line] = [[]]
    for text, style in line:
        if out[-1] and sum(len(t) for t, _ in out[-1]) + len(text) > width:
            out.append([])
        out[-1].append((text, style))
    return out


def runs_told(runs: list[Row], most: int) -> list[Line]:
    """The runs that are neither done nor waiting, `most` of each state, and the last words of those that failed."""
    out: list[Line] = []
    for state in ("running", "stopped", "interrupted", "diverged", "failed"):
        of = [run for run in runs if run["state"] == state]
        for run in of[:most]:
            out.append([(run_line(run), STYLES[state])])
            out += [[(f"    {line}", "dim")] for line in run.get("log", [])]
        if len(of) > most:
            out.append([(f"and {len(of) - most:,} more {state}", STYLES[state])])
    return [[], *out] if out else []


def run_line(run: Row) -> str:
    """A line on a run that is neither done nor waiting."""
    parts = [f"{run['run_id'][:12]}  {run['state']:<11}  {run['width']} × {run['layers']}"]
    if "step" in run:
        parts.append(f"step {run['step']:,}/{run['steps']:,}")
    if "train_loss" in run:
        parts.append(f"loss {run['train_loss']:.3f}")
    if "tokens_per_second" in run:
        parts.append(f"{short(run['tokens_per_second'])} tokens/s")
    if "seconds_left" in run:
        parts.append(f"{duration(run['seconds_left'])} left")
    if run["state"] in ("stopped", "interrupted"):
        parts.append("will go on at the next launch")
    if "error" in run:
        parts.append(str(run["error"]))
    return ", ".join(parts)


def as_text(of: dict[str, Any], width: int = 80) -> str:
    """The status without styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in screen(of, width))
