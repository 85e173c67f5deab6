"""Coordinate check: how activations, and what training adds to them, grow with width or depth (Yang 2022, D.1).

Axes: B sequences, L positions, D width. Tokens are drawn here: each is followed by its successor in a fixed
permutation nine times in ten, so that there is something to learn at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, load, override
from scaling.config.validation import ConfigError

Row = dict[str, Any]
FOLLOWS = 0.9  # share of tokens that follow the permutation
ALONG = {"widths": "width", "depths": "layers"}
SHOWN = {"widths": "standard,mup", "depths": "mup,completep"}  # parametrisations compared unless told otherwise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.json", help="its model is made wider or deeper, its data not read")
    parser.add_argument("--widths", metavar="W,W,...", help="default 64,128,256 unless --depths are given")
    parser.add_argument("--depths", metavar="L,L,...", help="layers, in place of widths")
    parser.add_argument("--steps", type=int, default=5, help="at the config's peak learning rate (default 5)")
    parser.add_argument(
        "--parametrizations", metavar="P,P", help="default: standard,mup by width, mup,completep by depth"
    )
    parser.add_argument("--set", action="append", default=[], metavar="path.to.field=value", help="change the config")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Measures each size under each parametrisation; a table, or JSON."""
    if args.widths and args.depths:
        raise ConfigError("--widths and --depths: give one of them")
    if args.steps < 1:
        raise ConfigError(f"--steps {args.steps}: must be 1 or more")
    kind = "depths" if args.depths else "widths"
    sizes = _sizes(kind, args.depths or args.widths or "64,128,256")
    config = override(load(args.config), args.set)
    if config.model.kind != "decoder":
        raise ConfigError(f"ModelConfig.kind = {config.model.kind!r}: the coordinate check is of a 'decoder'")
    names = (args.parametrizations or SHOWN[kind]).split(",")
    made = [(name, sized(config, name, kind, size, sizes[0])) for name in names for size in sizes]
    rows: list[Row] = []
    for done, (name, one) in enumerate(made):
        print(f"{done + 1}/{len(made)}: {name}, {ALONG[kind]} {getattr(one.model, ALONG[kind])}", file=sys.stderr)
        shape = {"parametrization": name, "width": one.model.width, "layers": one.model.layers}
        rows += [{**shape, **row} for row in measure(one, args.steps)]
    found = slopes(rows, ALONG[kind])
    if args.json:
        print(json.dumps({"steps": args.steps, "along": ALONG[kind], "rows": rows, "slopes": found}, allow_nan=False))
    else:
        print(as_text(rows, found, ALONG[kind], args.steps))
    return 0


def _sizes(kind: str, text: str) -> list[int]:
    parts = text.split(",")
    if len(parts) < 2 or not all(part.isdecimal() and int(part) > 0 for part in parts) or len({*parts}) < len(parts):
        raise ConfigError(f"--{kind} {text}: must be two or more different whole numbers, with commas between")
    return sorted(map(int, parts))


def sized(config: RunConfig, parametrization: str, kind: str, size: int, base: int) -> RunConfig:
    """The config with its model at another width (heads keep their size) or depth, under a parametrisation.

    Its base is the smallest size measured, where the config names no base of its own.
    """
    model = config.model
    fields: dict[str, Any] = {"base_width": None, "base_depth": None, "base_head": None, "layers": size}
    if kind == "widths":
        fields |= {"layers": model.layers, **wider(model, size)}
    if parametrization != "standard":
        fields |= {"base_width": model.base_width or (base if kind == "widths" else model.width)}
        fields |= {"base_head": model.base_head}
    if parametrization == "completep":
        fields |= {"base_depth": model.base_depth or (base if kind == "depths" else model.layers)}
    return dataclasses.replace(config, model=dataclasses.replace(model, parametrization=parametrization, **fields))


def wider(model: ModelConfig, width: int) -> dict[str, Any]:
    """Fields of the same model at another width: as many heads and hidden units for each unit of width."""
    kept = {"heads": model.heads, "kv_heads": model.kv, "mlp_width": model.mlp_width}
    for name, count in kept.items():
        if count * width % model.width:
            raise ConfigError(
                f"--widths {width}: {name} = {count} at width {model.width} would not be whole there: "
                "choose a multiple of the config's width"
            )
    return {"width": width, **{name: count * width // model.width for name, count in kept.items()}}


def measure(config: RunConfig, steps: int) -> list[Row]:
    """Sizes of activations on one batch after each step, and of what has been added since the start (both RMS)."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from scaling.models.transformer import Transformer
    from scaling.program.step import program

    compiled, _ = program(config, Placement(data=1))
    graph = nnx.split(nnx.eval_shape(lambda: Transformer(config.model, rngs=nnx.Rngs(0))))[0]
    batches = tokens(config)
    seen = next(batches)[:, :-1]
    look = jax.jit(lambda params: activations(nnx.merge(graph, params), seen))

    def rms(x: Any) -> float:
        return float(jnp.sqrt(jnp.mean(jnp.square(x))))

    state = compiled.init(config.seed)
    first, rows = look(state["params"]), []
    for step in range(steps + 1):
        now = look(state["params"])
        rows += [{"step": step, "name": n, "size": rms(now[n]), "change": rms(now[n] - first[n])} for n in now]
        if not all(np.isfinite(row["size"]) for row in rows):
            raise ConfigError(
                f"OptimizerConfig.lr = {config.optimizer.lr}: diverged in step {step} at width {config.model.width}, "
                f"{config.model.layers} layers, {config.model.parametrization}: choose a lower one"
            )
        placed = jax.device_put(next(batches), compiled.batch_sharding)
        state, _ = compiled.step(state, placed, np.float32(config.optimizer.lr))
    return rows


def tokens(config: RunConfig) -> Iterator[Any]:
    """Batches of one seed, int32 (B, L + 1)."""
    import numpy as np

    draws, vocab = np.random.default_rng(config.seed), config.model.vocab
    after = draws.permutation(vocab)
    while True:
        out_BL = draws.integers(0, vocab, (config.batch, config.data.length + 1))
        follows_BL = draws.random(out_BL.shape) < FOLLOWS
        for at in range(1, out_BL.shape[1]):
            out_BL[:, at] = np.where(follows_BL[:, at], after[out_BL[:, at - 1]], out_BL[:, at])
        yield out_BL.astype(np.int32)


def activations(model: Any, tokens_BL: Any) -> dict[str, Any]:
    """The stream after the embedding, the first and the last layer, and the logits."""
    import jax.numpy as jnp
    from flax import nnx

    from scaling.models.attention import positions
    from scaling.models.attention.attention import Place
    from scaling.models.transformer import unstack

    place = Place(positions.places(tokens_BL.shape[1], None))
    x_BLD = model.embed(tokens_BL, place, jnp.float32)
    seen = {"embedding": x_BLD}
    graph, stacked = nnx.split(model.blocks)
    for state, window in zip(unstack(stacked, model.config.layers), model.config.windows, strict=True):
        x_BLD, _ = nnx.merge(graph, state)(x_BLD, place, window)
        seen.setdefault("first layer", x_BLD)
    return {**seen, "last layer": x_BLD, "logits": model(tokens_BL)}


def slopes(rows: list[Row], along: str) -> list[Row]:
    """Exponents of size and change along width or layers after the last step: 0 is flat."""
    import numpy as np

    last = max(row["step"] for row in rows)
    out = []
    for key in dict.fromkeys((row["parametrization"], row["name"]) for row in rows):
        of = [row for row in rows if (row["parametrization"], row["name"]) == key and row["step"] == last]
        x = np.log([row[along] for row in of])
        found = {what: float(np.polyfit(x, np.log([row[what] for row in of]), 1)[0]) for what in ("size", "change")}
        out.append({"parametrization": key[0], "name": key[1], **found})
    return out


def as_text(rows: list[Row], found: list[Row], along: str, steps: int) -> str:
    """A line for each activation: its change at each size, and the exponents of change and of size."""
    sizes = sorted({row[along] for row in rows})
    head = f"{'':10} {'':12}" + "".join(f"{size:>10}" for size in sizes) + f"{'exponent':>10}{'of size':>10}"
    lines = [f"what {steps} steps add to each activation (RMS), by {along}; exponents of {along}", head]
    for slope in found:
        of = (slope["parametrization"], slope["name"])
        now = {r[along]: r["change"] for r in rows if (r["parametrization"], r["name"]) == of and r["step"] == steps}
        figures = "".join(f"{now[size]:>10.3g}" for size in sizes)
        lines.append(f"{of[0]:10} {of[1]:12}{figures}{slope['change']:>10.2f}{slope['size']:>10.2f}")
    return "\n".join(lines)
