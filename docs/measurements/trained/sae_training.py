"""Training of sparse autoencoders: targets of L0, fixed coefficients, a known dictionary, all sites from one pass."""

from __future__ import annotations

import json

import numpy as np

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session
from scaling.inference.sae.load import load_sae
from scaling.store.record import Record, Store
from tests.support.sae.activations import FEATURES, noise_floor, recovered_share, write_activations

MODEL = {
    "model": {"width": 64, "layers": 4, "heads": 4, "mlp_width": 192},
    "data": {"length": 64},
    "optimizer": {"lr": 0.006},
    "batch": 32,
    "steps": 600,
    "schedule": {"warmup": 50},
}
TARGETS = (8, 16, 32, 64)
KINDS = ("topk", "batch-topk", "jumprelu", "relu")
COEFFICIENTS = {"jumprelu": (-5.0, -2.0), "relu": (-4.0, -1.0)}  # common logarithms of the ends, three decades apart
POINTS = 7  # coefficients of each kind
SIZES = (FEATURES // 2, FEATURES, 2 * FEATURES, 4 * FEATURES)  # latents for the known dictionary
ROWS = 200_000  # activations of the known dictionary


def measure(session: Session) -> Results:
    """Trains a model of four layers, then autoencoders of it and of a known dictionary."""
    tokens = {"targets": 600_000, "coefficients": 300_000, "known": 1_000_000, "sites": 200_000}
    if session.small:
        tokens = dict.fromkeys(tokens, 20_000)
    model = train_model(session)
    values = {name: Value(count, ",") for name, count in tokens.items()}
    targets, worst = measure_targets(session, model, tokens["targets"])
    sites, site_values = measure_sites(session, model, tokens["sites"])
    tables = {
        "main": targets,
        "coefficients": measure_coefficients(session, model, tokens["coefficients"]),
        "known": measure_known(session, tokens["known"], values),
        "sites": sites,
    }
    return Results(tables, values | site_values | {"worst": Value(worst, ".1%")})


def train_model(session: Session) -> str:
    """Trains the model of four layers and returns its run id."""
    corpus = session.json("scaling", "prepare", "cpython", "--store", "STORE", "--json")
    config = json.loads(json.dumps(MODEL))
    config["model"]["vocab"], config["data"]["tokens"] = corpus["vocab"], corpus["tokens"]
    config["steps"] = 30 if session.small else config["steps"]
    path = session.store / "model.json"
    path.write_text(json.dumps(config))
    session.train("scaling", "train", "STORE/model.json", "--store", "STORE")
    return next(r.run_id for r in Store(session.store).records() if r.config.sae is None and r.config.model.layers == 4)


def train_saes(session: Session, source: str, sweep: str, *words: str) -> list[Record]:
    """Trains autoencoders and returns their records, by kind, size and sparsity."""
    session.train("scaling", "sae", "train", source, "--store", "STORE", "--sweep", sweep, *words)
    records = [record for record in Store(session.store).records() if record.sweep == sweep]
    return sorted(records, key=lambda r: (r.config.sae.kind, r.config.sae.latents, r.config.sae.l0 or 0))  # type: ignore[union-attr]


def measure_targets(session: Session, model: str, tokens: int) -> tuple[Table, float]:
    """Returns held-out L0 and error for each kind and target, and the largest relative miss of a target."""
    words = ("--layer", "2", "--latents", "1024", "--batch", "512", "--tokens", str(tokens))
    records = train_saes(
        session, model, "targets", "--kind", ",".join(KINDS), "--l0", ",".join(map(str, TARGETS)), *words
    )
    rows, misses = [], []
    for kind in KINDS:
        for record in [r for r in records if r.config.sae is not None and r.config.sae.kind == kind]:
            target = record.config.sae.l0  # type: ignore[union-attr]
            l0 = record.final["val_l0"]
            misses.append(abs(l0 / target - 1))  # type: ignore[operator]
            rows.append([kind, target, l0, l0 / target - 1, 1 - record.final["loss"]])  # type: ignore[operator]
    columns = [
        Column("kind"), Column("target L0", ".0f"), Column("held-out L0", ".2f"), Column("off the target by", "+.1%"),
        Column("explained variance", ".3f"),
    ]  # fmt: skip
    return Table(columns, rows), max(misses)


def measure_coefficients(session: Session, model: str, tokens: int) -> Table:
    """Returns the held-out L0 at fixed coefficients over three decades."""
    rows = []
    for kind, ends in COEFFICIENTS.items():
        coefficients = [f"{10**exponent:.3g}" for exponent in np.linspace(*ends, POINTS)]
        words = ("--layer", "2", "--latents", "1024", "--batch", "512", "--tokens", str(tokens))
        words = (*words, "--coefficient", ",".join(coefficients))
        records = train_saes(session, model, f"coefficients-{kind}", "--kind", kind, *words)
        for record in sorted(records, key=lambda r: r.config.sae.coefficient or 0.0):  # type: ignore[union-attr]
            rows.append([kind, record.config.sae.coefficient, record.final["val_l0"], 1 - record.final["loss"]])  # type: ignore[union-attr]
    columns = [
        Column("kind"), Column("coefficient", ".3g"), Column("held-out L0", ".2f"), Column("explained variance", ".3f")
    ]  # fmt: skip
    return Table(columns, rows)


def measure_known(session: Session, tokens: int, values: dict[str, Value]) -> Table:
    """Returns which known directions were found by number of latents, and the error beside that of the noise."""
    path = session.store / "known.npy"
    write_activations(path, 20_000 if session.small else ROWS)
    words = ("--kind", "batch-topk", "--l0", "3", "--batch", "1024", "--lr", "0.002", "--tokens", str(tokens))
    records = train_saes(session, "STORE/known.npy", "known", "--latents", ",".join(map(str, SIZES)), *words)
    floor = noise_floor(path)
    values |= {"features": Value(FEATURES), "floor": Value(floor, ".4f")}
    store, rows = Store(session.store), []
    for record in records:
        decoder = np.asarray(load_sae(store, record.run_id).params["W_dec"])
        loss = record.final["loss"]
        rows.append([len(decoder), recovered_share(decoder), loss, loss - floor])
    columns = [
        Column("latents", ",.0f"), Column("directions found", ".0%"), Column("error", ".4f"),
        Column("above the noise", ".4f"),
    ]  # fmt: skip
    return Table(columns, rows)


def measure_sites(session: Session, model: str, tokens: int) -> tuple[Table, dict[str, Value]]:
    """Returns the time of autoencoders of every layer and site in one command, and of one command for each."""
    words = ("--kind", "topk", "--latents", "512", "--l0", "16", "--tokens", str(tokens))

    def seconds(sweep: str, *where: str) -> float:
        entry = session.timed(
            "scaling", "sae", "train", model, "--store", "STORE", "--sweep", sweep, *words, *where, "--seed", sweep[-1]
        )
        return float(entry["seconds"])

    seconds("warm-0", "--layer", "0")  # the programs are in the compile cache for both
    layers = range(1 if session.small else 4)
    together = seconds("sites-1", "--layers", ",".join(map(str, layers)), "--sites", "all")
    alone = sum(
        seconds("alone-2", "--layer", str(layer), "--site", site)
        for layer in layers
        for site in ("residual", "attention", "mlp")
    )
    rows = [["one command", together], ["one command for each", alone]]
    columns = [Column("autoencoders of every layer and site"), Column("seconds", ".0f")]
    return Table(columns, rows), {"site_ratio": Value(alone / together, ".1f"), "site_count": Value(3 * len(layers))}
