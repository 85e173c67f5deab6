"""Sparse autoencoders of models of several sizes: latents n × active latents k, on the residual stream of one layer.

`python -m analysis sae STORE` fits L(n, k) for each model, and says how its exponents change with the size of the
model. The default models are runs of the sweep `quickstart`: a store that has them trains only the autoencoders.
"""

from __future__ import annotations

import dataclasses
import itertools

from scaling.config.run import RunConfig
from scaling.config.sae import SAE_KINDS, SITES
from scaling.config.validation import ConfigError
from scaling.counting.counts import parameters
from scaling.store.sae_runs import sae_run
from sweeps.definitions.kaplan import run_for_tokens
from sweeps.definitions.quickstart import quickstart
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import SMALL, Rules

CORPUS = "cpython"
EVALUATIONS = 10  # of an autoencoder: its curve gives the error at smaller compute


def autoencoders(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = SMALL,
    widths: tuple[int, ...] = (32, 48, 64),
    ratio: float | None = None,
    latents: tuple[int, ...] = (128, 256, 512, 1024, 2048),
    l0: tuple[int, ...] = (4, 8, 16),
    kinds: tuple[str, ...] = ("topk",),
    layer: int | None = None,
    site: str = "residual",
    tokens: float = 1e6,
    batch_tokens: int = 512,
    rate: float = 0.005,
) -> list[RunConfig]:
    """Sparse autoencoders: model sizes × latents × active latents × kinds, after the models, if these are missing.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules of the models.
        widths: Widths of the models.
        ratio: Tokens per parameter of the models; None: the longest run of `quickstart` at each width.
        latents: Numbers of latents, n.
        l0: Active latents per token, k: exact, a mean, or a target, by kind.
        kinds: Kinds of autoencoders.
        layer: Layer after which activations are read, from 0; None: the middle of each model.
        site: Site of the layer: residual, attention or mlp.
        tokens: Training tokens of each autoencoder.
        batch_tokens: Tokens per step.
        rate: Peak learning rate, above the default of `scaling sae train`: with few steps, a low rate leaves large
            dictionaries further from their minimum than small ones.
    """
    models = [model_run(width, corpus, ratio, seed, rule_set) for width in widths]
    saes = []
    for model, kind, n, k in itertools.product(models, kinds, latents, l0):
        at = model.model.layers // 2 if layer is None else layer
        fields = {"kind": kind, "latents": n, "l0": k, "layer": at, "site": site}
        try:
            run = sae_run(model, fields, tokens=tokens, batch_tokens=batch_tokens, lr=rate, seed=seed)
        except ConfigError as error:
            allowed = f"kinds are {', '.join(SAE_KINDS)}, sites {', '.join(SITES)}"
            raise SweepError(
                f"sweep sae: {error}: change --set latents=, l0=, kinds=, layer= or site= ({allowed})"
            ) from None
        assert run.sae is not None
        every = run.sae.buffer * max(1, run.steps // (run.sae.buffer * EVALUATIONS))
        saes.append(dataclasses.replace(run, eval=dataclasses.replace(run.eval, every=every)))
    return [*models, *saes]


def model_run(width: int, corpus: Corpus, ratio: float | None, seed: int, rule_set: Rules) -> RunConfig:
    """Returns the run of the model of a width.

    Args:
        width: Its width.
        corpus: The corpus.
        ratio: Tokens per parameter; None: the longest run of `quickstart` at this width.
        seed: Seed of the run.
        rule_set: The rules.

    Raises:
        SweepError: `quickstart` has no run of this width, or the ratio is not a positive number.
    """
    if ratio is None:
        runs = {run.model.width: run for run in quickstart(corpus, seed=seed)}  # budgets rise: the last is the longest
        if width not in runs or rule_set != SMALL:
            raise SweepError(
                f"--set widths={width}: quickstart has widths {', '.join(map(str, runs))} and the small rules: "
                "for other models, set their tokens per parameter, such as --set ratio=20"
            )
        return runs[width]
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < 1e6:
        raise SweepError(f"--set ratio={ratio}: must be a number of tokens per parameter above 0, such as 20")
    model = rules.model_at_width(width, corpus.vocab, rule_set)
    return run_for_tokens(model, corpus, ratio * parameters(model)["total"], seed, rule_set)
