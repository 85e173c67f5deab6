"""A store of models and their sparse autoencoders, whose errors lie on a known law of n and k."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np

from scaling.config.run import RunConfig, run_id
from scaling.counting.counts import parameters, run_flops, run_parameters
from scaling.store.record import Record, Store
from scaling.store.sae_runs import sae_run
from tests.support import known_store

LATENTS = (256, 512, 1024, 2048, 4096)
ACTIVE = (8, 16, 32, 64)
TRUTH = {"alpha": 1.1, "beta_k": -0.35, "beta_n": -0.24, "gamma": -0.01, "zeta": -2.6, "eta": -0.2}
SLOPE = 0.02  # change of beta_n with the logarithm of the model's size
MODELS = ((32, 2), (64, 4), (128, 5))  # width, layers
TOKENS = 2_000_000
CURVE_POINTS, GAIN = 12, 0.4  # evaluations of a run; part of the error that falls as the root of the tokens


def error(n: float, k: float, *, beta_n: float = TRUTH["beta_n"]) -> float:
    """The law: squared error relative to the variance."""
    p, log_n, log_k = TRUTH | {"beta_n": beta_n}, np.log(n), np.log(k)
    power = np.exp(p["alpha"] + p["beta_k"] * log_k + (p["beta_n"] + p["gamma"] * log_k) * log_n)
    return float(power + np.exp(p["zeta"] + p["eta"] * log_k))


def models() -> list[RunConfig]:
    """The runs of the models, smallest first."""
    return [known_store.config(width, layers, 3e12) for width, layers in MODELS]


def exponent(model: RunConfig) -> float:
    """beta_n of a model: that of the law for the smallest, and falling with ln N."""
    sizes = [parameters(each.model)["total"] for each in (models()[0], model)]
    return TRUTH["beta_n"] - SLOPE * float(np.log(sizes[1] / sizes[0]))


def build(root: Path, *, kinds: tuple[str, ...] = ("topk",), count: int = 3, noise: float = 0.003) -> Store:
    """A store of `count` models, each with autoencoders of all n, k and kinds."""
    store, random = Store(root), np.random.default_rng(0)
    for model in models()[:count]:
        N = parameters(model.model)["total"]
        store.write(known_store.record(model, "done", known_store.loss(N, model.tokens)))
        store.finish_curve(run_id(model), known_store.curve(model, known_store.loss(N, model.tokens), random, 20))
        for kind, n, k in itertools.product(kinds, LATENTS, ACTIVE):
            fields = {"kind": kind, "latents": n, "l0": k, "layer": 1, "dead_tokens": 10**7}
            final = error(n, k, beta_n=exponent(model)) * float(np.exp(noise * random.standard_normal()))
            add_sae(store, sae_run(model, fields, tokens=TOKENS), final * (1.1 if kind == "relu" else 1))
    return store


def add_sae(store: Store, run: RunConfig, final: float) -> None:
    """Adds a finished autoencoder with a curve that falls to its final error."""
    run = replace(run, eval=replace(run.eval, every=8 * max(1, run.steps // (8 * CURVE_POINTS))))
    assert run.sae is not None and run.sae.l0 is not None
    scores = {"loss": final, "step": run.steps, "tokens": run.tokens, "val_l0": float(run.sae.l0)}
    store.write(
        Record(
            run_id=run_id(run), config=run, status="done", sweep="sae", params=run_parameters(run),
            flops=run_flops(run), final=scores,
        )
    )  # fmt: skip
    steps = [*range(run.eval.every, run.steps, run.eval.every), run.steps]
    falls = [final * (1 + GAIN * ((run.steps / step) ** 0.5 - 1)) for step in steps]
    rows = [
        {"step": step, "loss": value, "val_loss": value, "val_l0": float(run.sae.l0)}
        for step, value in zip(steps, falls, strict=True)
    ]
    store.finish_curve(run_id(run), rows)
