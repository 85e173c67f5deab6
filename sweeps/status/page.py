"""`status --html`: the status of a sweep as one page that refreshes; nothing in it is loaded from elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from scaling.store.files import write_atomic
from scaling.store.record import Store
from sweeps.format import duration, short
from sweeps.status.axes import NAMES, Row, loss_curves
from sweeps.status.svg import Axis, Curve, chart, colours
from sweeps.status.terminal import cost_lines, has_loss, label, percent
from sweeps.status.watch import sweep_ended

EVERY = 30.0  # seconds between two refreshes of a page that is not watched
CURVES = 12  # of held-out losses
LEARNING = 60  # learning curves
BINS = 100  # of one
LISTED = 1000  # runs in the table
TOLD = 50  # reasons why runs failed
NAMED = 6  # runs of one reason
_drawn: dict[str, tuple[Any, list[tuple[float, float]]]] = {}  # learning curves, with the stamps of their records


def write_page(path: Path, store: Store, of: dict[str, Any], every: float | None = None) -> Path:
    """Writes the page, whole or not at all; every: seconds until it is written again."""
    title = f"{of['sweep']}: {percent(of['cost']['share_done'])}"
    refresh = "" if sweep_ended(of) else f'<meta http-equiv="refresh" content="{max(1, round(every or EVERY))}">\n'
    style = Path(__file__).with_name("page.css").read_text("utf-8")
    body = "\n".join([top(of), losses(of), learning(store, of), troubles(of), under_way(of), table_of(of)])
    written = time.strftime("%Y-%m-%d %H:%M:%S")
    text = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{refresh}<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n{body}\n<footer><p>Written {written} from {escape(str(store.root.resolve()))}.</p></footer>\n"
        "</body>\n</html>\n"
    )
    write_atomic(path, text.encode())
    return path


def top(of: dict[str, Any]) -> str:
    """Counts, how far, and the cost against the quote."""
    share, left = of["cost"]["share_done"], of["cost"].get("seconds_left")
    counts = ", ".join(f"{state(name, f'{n:,} {name}')}" for name, n in of["counts"].items() if n)
    then = f", {duration(left)} left" if left else ""
    spent = "".join(f"<p>{escape(line[:1].upper() + line[1:])}.</p>" for line in cost_lines(of["cost"]))
    return (
        f'<h1>{escape(of["sweep"])}</h1>\n<p class="lead">{counts} of {len(of["runs"]):,} runs</p>\n'
        f'<div class="bar"><div style="width:{100 * share:.1f}%"></div></div>\n'
        f"<p>{percent(share)} of the FLOPs{then}.</p>\n{spent}"
    )


def state(name: str, text: str) -> str:
    return f'<span class="state {name}">{escape(text)}</span>'


def losses(of: dict[str, Any]) -> str:
    """Held-out loss against size, a curve a budget, or against the field that the sweep varies."""
    x, by = of["axes"]["x"], of["axes"]["by"]
    found = loss_curves(of["runs"], CURVES)
    shown = colours(len(found), all(isinstance(value, int | float) for key in found for value in key))
    curves = [
        Curve(points=points, colour=colour, name=label(key), mark=i)
        for i, ((key, points), colour) in enumerate(zip(found.items(), shown, strict=True))
    ]
    isoflop = by[:1] == ["budget"]
    title = "IsoFLOP curves" if isoflop else f"Held-out loss against {NAMES.get(x, x)}"
    what = ", ".join(["A curve a budget, in FLOPs", *by[1:]]) if isoflop else f"Curves by {', '.join(by)}" if by else ""
    left_out = len({tuple(run["by"]) for run in of["runs"]}) - len(found)
    more = f"; {left_out} more are not drawn" if left_out else ""
    log = all(px > 0 for points in found.values() for px, _ in points)
    drawn = chart(curves, Axis(name=NAMES.get(x, x), log=log, text=short),
                  Axis(name="held-out loss, nats a token", log=False, text=_loss), title)  # fmt: skip
    said = f'<p class="dim">{escape(what + more)}.</p>' if what else ""
    return f"<h2>{escape(title)}</h2>\n{drawn}\n{said}"


def _loss(value: float) -> str:
    return f"{value:.4g}"


def learning(store: Store, of: dict[str, Any]) -> str:
    """Training loss against training FLOPs of the runs under way and of others, spread over the sweep."""
    begun = [run for run in of["runs"] if run["state"] != "waiting"]
    first = [run for run in begun if run["state"] == "running"][: LEARNING // 2]
    rest = [run for run in begun if run not in first] if len(begun) <= LEARNING * 20 else begun
    room = LEARNING - len(first)
    chosen = first + (rest if len(rest) <= room else [rest[i * len(rest) // room] for i in range(room)])
    sizes = sorted({run["N"] for run in chosen})
    shown = dict(zip(sizes, colours(len(sizes), ordered=True), strict=True))
    named: set[int] = set()
    curves = []
    for run in sorted(chosen, key=lambda run: -run["C"]):
        points = curve_of(store, run)
        if points:
            name = "" if run["N"] in named or len(sizes) > 14 else f"N {short(run['N'])}"
            named.add(run["N"])
            about = f"{run['run_id'][:12]}, {run['width']} × {run['layers']}, {run['state']}"
            curves.append(Curve(points=points, colour=shown[run["N"]], name=name, about=about, faint=True))
    drawn = chart(curves, Axis(name="training FLOPs", log=True, text=short),
                  Axis(name="training loss, nats a token", log=True, text=_loss), "Learning curves")  # fmt: skip
    said = (
        f"{len(curves)} of {len(begun):,} runs that have begun, from small (dark) to large; rest on one to see which."
    )
    return f'<h2>Learning curves</h2>\n{drawn}\n<p class="dim">{escape(said)}</p>' if curves else ""


def curve_of(store: Store, run: Row) -> list[tuple[float, float]]:
    """Training FLOPs and mean training loss of a run's steps, in BINS that widen with the step."""
    stamp = (run["state"], run.get("seconds"))
    if run["state"] in ("done", "diverged", "failed") and _drawn.get(run["run_id"], (None,))[0] == stamp:
        return _drawn[run["run_id"]][1]
    bins: dict[int, list[tuple[float, float]]] = {}
    for row in store.curve(run["run_id"]):
        place = round(BINS * math.log(row["step"]) / max(1.0, math.log(run["steps"])))
        bins.setdefault(place, []).append((row["step"], row["loss"]))
    a_step = run["C"] / run["steps"]
    means = [[sum(values) / len(values) for values in zip(*inside, strict=True)] for inside in bins.values()]
    points = [(step * a_step, loss) for step, loss in means if loss > 0]
    _drawn[run["run_id"]] = (stamp, points)
    return points


def troubles(of: dict[str, Any]) -> str:
    """What failed or diverged and why, runs of one reason together, and a process's last words where kept."""
    reasons: dict[tuple[str, str], list[Row]] = {}
    for name in ("failed", "diverged", "interrupted", "stopped"):
        otherwise = "will go on at the next launch" if name in ("interrupted", "stopped") else ""
        for run in of["runs"]:
            if run["state"] == name:
                reasons.setdefault((name, str(run.get("error", otherwise))), []).append(run)
    out = []
    for (name, why), runs in list(reasons.items())[:TOLD]:
        shown = ", ".join(f"<code>{run['run_id'][:12]}</code> {size(run)}" for run in runs[:NAMED])
        more = f" and {len(runs) - NAMED:,} more" if len(runs) > NAMED else ""
        out.append(f"<p>{state(name, f'{len(runs):,} {name}')} {escape(why)}<br>{shown}{more}</p>")
        log = next((run["log"] for run in runs if run.get("log")), None)
        out += [f"<pre>{escape(chr(10).join(log))}</pre>"] if log else []
    if len(reasons) > TOLD:
        out.append(f"<p>and {len(reasons) - TOLD:,} more reasons</p>")
    return "<h2>What went wrong</h2>\n" + "\n".join(out) if out else ""


def size(run: Row) -> str:
    return f"{run['width']} × {run['layers']}"


def under_way(of: dict[str, Any]) -> str:
    """The runs that train now."""
    runs = [run for run in of["runs"] if run["state"] == "running"]
    if not runs:
        return ""
    head = ("run", "width × layers", "step", "", "loss", "tokens/s", "left")
    rows = [
        (
            run["run_id"][:12], size(run), f"{run['step']:,}/{run['steps']:,}" if "step" in run else "",
            percent(run["step"] / run["steps"]) if "step" in run else "",
            _loss(run["train_loss"]) if "train_loss" in run else "",
            short(run["tokens_per_second"]) if "tokens_per_second" in run else "",
            duration(run["seconds_left"]) if "seconds_left" in run else "",
        )
        for run in runs[:LISTED]
    ]  # fmt: skip
    return "<h2>Under way</h2>\n" + table(head, rows, "c nnnnn"[: len(head)])


def table_of(of: dict[str, Any]) -> str:
    """All runs, the lowest loss of each isoFLOP curve marked."""
    lowest: dict[tuple[Any, ...], float] = {}
    for run in of["runs"]:
        if has_loss(run) and "budget" in run:
            lowest[tuple(run["by"])] = min(run["loss"], lowest.get(tuple(run["by"]), math.inf))
    drawn = [name for name in (of["axes"]["x"], *of["axes"]["by"]) if name not in ("N", "D")]
    head = ("run", "state", *drawn, "width × layers", "N", "D", "C", "steps", "held-out loss", "machine time")
    rows = []
    for run in of["runs"][:LISTED]:
        best = has_loss(run) and run["loss"] == lowest.get(tuple(run["by"]))
        took = duration(run["machine_seconds"]) if "machine_seconds" in run else ""
        at = dict(zip((of["axes"]["x"], *of["axes"]["by"]), (run["x"], *run["by"]), strict=True))
        swept = [label((at[name],)) if at[name] is not None else "" for name in drawn]
        loss = f"{run['loss']:.4f}{'*' if best else ' '}" if "loss" in run else ""
        figures = [short(run[name]) for name in "NDC"]
        rows.append((run["run_id"][:12], run["state"], *swept, size(run), *figures, f"{run['steps']:,}", loss, took))
    left_out = len(of["runs"]) - len(rows)
    more = f'<p class="dim">{left_out:,} more are not listed.</p>' if left_out else ""
    note = '<p class="dim">*: lowest of its isoFLOP curve. N: all parameters; C: exact training FLOPs.</p>'
    return f"<h2>The runs</h2>\n{table(head, rows, 'cs' + 'n' * len(drawn) + ' nnnnnn')}\n{note}{more}"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], kinds: str) -> str:
    """A table; kinds, a letter a column: c code, s state, n number, space text."""

    def cell(kind: str, text: str) -> str:
        if kind == "s":
            return f"<td>{state(text, text)}</td>"
        return f"<td><code>{escape(text)}</code></td>" if kind == "c" else f"<td{_class(kind)}>{escape(text)}</td>"

    top = "".join(f"<th{_class(kind)}>{escape(text)}</th>" for kind, text in zip(kinds, head, strict=True))
    lines = ["".join(cell(kind, text) for kind, text in zip(kinds, row, strict=True)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _class(kind: str) -> str:
    return ' class="n"' if kind == "n" else ""
