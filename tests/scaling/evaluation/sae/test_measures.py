"""Scores of sparse autoencoders are what NumPy computes from activations and logits."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from scaling.config.sae import SITES
from scaling.config.validation import ConfigError
from scaling.evaluation.sae import run as evaluation
from scaling.evaluation.sae.latents import density_histogram, nearest
from scaling.evaluation.sae.measures import COLUMNS
from scaling.evaluation.sae.scores import latent_scores, sequence_scores
from scaling.evaluation.sae.text import Subject
from scaling.inference.activations import edited_logits, sites_activations
from scaling.inference.load import TrainedModel
from scaling.inference.sae.steering import check_model
from scaling.inference.sites import Site, SiteEdit
from scaling.store.score_intervals import ratio_interval
from tests.support.models import VARIANTS, random_tokens, untrained_run
from tests.support.sae.known import identity_params, known_sae, random_params

MODEL = untrained_run(VARIANTS["swiglu"])
WIDTH = MODEL.model.width
ROWS = random_tokens((5, 17), seed=3)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def values_of(params: dict, **fields) -> tuple[dict, dict, Subject]:
    subject = Subject(known_sae(MODEL, params, **fields), MODEL)
    columns, latents = evaluation.measure_rows(subject, ROWS)
    scores = sequence_scores(columns) | latent_scores(latents["active"], columns["tokens"])
    return {name: score.value for name, score in scores.items()}, latents, subject


def test_scores_are_those_of_numpy() -> None:
    """Every score, from activations and logits that are computed on their own, at a site in the middle."""
    params = random_params(WIDTH, 2 * WIDTH)
    scores, latents, _ = values_of(params, layer=0, site="mlp")
    graph, site = MODEL.graph, Site(0, "mlp")
    compute = jax.jit(partial(sites_activations, graph, MODEL.config, MODEL.dtype, (site,)))
    x = np.asarray(compute(MODEL.params, ROWS[:, :-1])[0], np.float64)
    f = np.maximum((x - params["b_dec"]) @ params["W_enc"] + params["b_enc"], 0)
    y = f @ params["W_dec"] + params["b_dec"]
    norm, other = np.linalg.norm(x, axis=-1), np.linalg.norm(y, axis=-1)
    product = (x * y).sum(-1)
    centred = x - x.mean((0, 1))
    expected = {
        "l0": (f > 0).sum(-1).mean(),
        "l1": f.sum(-1).mean(),
        "mse": ((x - y) ** 2).sum(-1).mean(),
        "explained_variance": 1 - ((x - y) ** 2).sum(-1).mean() / (centred**2).sum(-1).mean(),
        "cosine": (product / norm / other).mean(),
        "l2_ratio": (other / norm).mean(),
        "relative_bias": (other**2).mean() / product.mean(),
    }

    @jax.jit
    def logits_with(values_BLD: jax.Array) -> jax.Array:
        edit = SiteEdit(site, lambda _: values_BLD)
        return edited_logits(graph, MODEL.config, MODEL.dtype, edit, MODEL.params, ROWS[:, :-1])

    logp = {}
    for name, values in {"clean": x, "sae": y, "ablated": 0 * x}.items():
        logp[name] = log_softmax(np.asarray(logits_with(values.astype(np.float32)), np.float64))
        expected[f"ce_{name}"] = -np.take_along_axis(logp[name], ROWS[:, 1:, None], -1).mean()
    for name in ("sae", "ablated"):
        expected[f"kl_{name}"] = (np.exp(logp["clean"]) * (logp["clean"] - logp[name])).sum(-1).mean()
    ablated = expected["ce_ablated"]
    expected["ce_score"] = (ablated - expected["ce_sae"]) / (ablated - expected["ce_clean"])
    expected["kl_score"] = (expected["kl_ablated"] - expected["kl_sae"]) / expected["kl_ablated"]
    assert expected.keys() <= scores.keys()
    for name in ("ce_score", "kl_score"):  # ratios of differences of float32 sums
        np.testing.assert_allclose(scores[name], expected[name], rtol=2e-4, err_msg=name)
    for name, value in expected.items():
        if not name.endswith("_score"):
            np.testing.assert_allclose(scores[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(latents["active"], (f > 0).sum(1))
    np.testing.assert_allclose(latents["max"], f.max((0, 1)), rtol=1e-5)
    density = (f > 0).mean((0, 1))
    assert scores["dead"] == (density == 0).sum() and scores["dense_10pct"] == (density > 0.1).mean()


@pytest.mark.parametrize("site", ["mlp", *(pytest.param(name, marks=pytest.mark.slow) for name in SITES[:2])])
def test_a_perfect_autoencoder_recovers_all_and_a_zero_one_nothing(site: str) -> None:
    params = identity_params(WIDTH)
    perfect, _, _ = values_of(params, layer=0, site=site)
    for name, value in {"ce_score": 1, "kl_score": 1, "explained_variance": 1, "cosine": 1, "l2_ratio": 1}.items():
        np.testing.assert_allclose(perfect[name], value, atol=1e-5, err_msg=name)
    zero, _, _ = values_of({**params, "W_dec": 0 * params["W_dec"]}, layer=0, site=site)
    assert zero["ce_score"] == 0 and zero["kl_score"] == 0 and zero["l2_ratio"] == 0
    assert "relative_bias" not in zero and zero["ce_ablated"] == zero["ce_sae"] != perfect["ce_sae"]


def test_planted_dead_and_dense_latents_are_counted() -> None:
    params = random_params(WIDTH, 2 * WIDTH)
    params["b_enc"][:3], params["b_enc"][3:8] = -1e6, 1e6
    scores, latents, subject = values_of(params, layer=0, site="mlp")
    active = latents["active"].sum(0)
    assert (active[:3] == 0).all() and (active[3:8] == ROWS[:, 1:].size).all()
    others = (active[8:] == 0).sum()
    assert scores["dead"] == 3 + others and scores["alive"] == 1 - scores["dead"] / (2 * WIDTH)
    table = evaluation.latent_table(subject, latents, ROWS[:, 1:].size)
    assert table["density"][3] == 1 and table["mean_activation"][0] == 0
    cosines = params["W_dec"] @ params["W_dec"].T - 2 * np.eye(2 * WIDTH)
    np.testing.assert_allclose(table["decoder_cosine"], cosines.max(1), atol=1e-6)
    np.testing.assert_array_equal(table["decoder_nearest"], cosines.argmax(1))
    np.testing.assert_allclose(table["encoder_cosine"], table["decoder_cosine"], atol=1e-6)  # its transpose


def test_densities_are_in_half_decades() -> None:
    density = np.array([0.0, 0.001, 0.002, 0.5, 1.0])
    rows = density_histogram(density, 1000)
    assert [(row["low"], row["latents"]) for row in rows] == [
        (-3, 2),
        (-2.5, 0),
        (-2, 0),
        (-1.5, 0),
        (-1, 0),
        (-0.5, 2),
    ]
    assert nearest(np.ones((1, 4), np.float32))[0].shape == (1, 0)  # there is no other latent


def test_intervals_are_over_sequences() -> None:
    """Student's interval of a mean, within what a bootstrap may differ; none with one sequence."""
    draws = np.random.default_rng(0)
    values = draws.gamma(3, size=60)
    columns = {name: 8 * values for name in COLUMNS} | {"tokens": np.full(60, 8.0), "x": np.zeros((60, 2))}
    score = sequence_scores(columns)["ce_sae"]
    expected = ratio_interval((8 * values).tolist(), [8.0] * 60)
    assert score.count == 60 and score.value == pytest.approx(values.mean())
    np.testing.assert_allclose(score.interval, expected, rtol=0.03)
    constant = sequence_scores(columns | {"ce_sae": columns["ce_sae"] / 2})["kl_score"]
    assert constant.value == 0 and constant.interval == (0, 0)
    assert sequence_scores({name: column[:1] for name, column in columns.items()})["ce_sae"].interval is None
    active = np.zeros((60, 3), int)
    active[:30, 0], active[:, 1] = 1, 8
    dense = latent_scores(active, columns["tokens"])["dense_1pct"]
    few = latent_scores(np.array([[0, 1, 5, 0]]), np.array([20_000.0]))
    assert [few[name].value for name in ("dead", "rare", "alive")] == [2, 1, 0.5]
    assert dense.value == pytest.approx(2 / 3) and dense.interval == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_an_autoencoder_of_another_model_or_layer_is_one_line() -> None:
    sae = known_sae(MODEL, random_params(WIDTH, 8))
    other: TrainedModel = untrained_run(dataclasses.replace(VARIANTS["swiglu"], mlp_width=40))
    with pytest.raises(ConfigError, match="must be one of run") as error:
        check_model(sae, other)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="has layers 0 to 1"):
        Site(2, "mlp").check(MODEL.model)
    with pytest.raises(ConfigError, match="file of activations"):
        check_model(known_sae(MODEL, random_params(WIDTH, 8), model_run=None), MODEL)
