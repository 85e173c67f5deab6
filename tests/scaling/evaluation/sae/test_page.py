"""The page of latents has the right text, densities and effects, and text of a corpus cannot become code."""

import json
from functools import partial

import jax
import numpy as np

from scaling.evaluation.sae import page, top_passages
from scaling.evaluation.sae.text import Subject
from scaling.inference.activations import sites_activations
from scaling.inference.sites import Site
from tests.support.models import FAST_COMPILE, VARIANTS, random_tokens, untrained_run
from tests.support.sae.known import known_sae, random_params

MODEL = untrained_run(VARIANTS["swiglu"])
WIDTH = MODEL.model.width


def test_the_page_shows_the_largest_activations_and_their_text() -> None:
    """Passages, densities, effects and neighbours beside those of NumPy, with a text longer than a passage."""
    params, rows = random_params(WIDTH, 20), random_tokens((9, 49), seed=1)
    params["b_enc"][4] = -1e6
    subject = Subject(known_sae(MODEL, params, layer=0), MODEL)
    data = page.page_data(subject, rows, 16)
    assert len(data["latents"]) == 16 and data["latents"][4]["passages"] == [] and data["latents"][4]["density"] == 0
    compute = jax.jit(partial(sites_activations, MODEL.graph, MODEL.config, MODEL.dtype, (Site(0, "residual"),)))
    x = np.asarray(compute(MODEL.params, rows[:, :-1])[0], np.float64)
    f = np.maximum((x - params["b_dec"]) @ params["W_enc"] + params["b_enc"], 0)
    effects = params["W_dec"] @ np.asarray(MODEL.params["head_DV"], np.float64)
    effects -= effects.mean(1, keepdims=True)
    cosines = params["W_dec"] @ params["W_dec"].T - 2 * np.eye(20)
    for i, latent in enumerate(data["latents"]):
        if i == 4:
            continue
        np.testing.assert_allclose(latent["density"], (f[..., i] > 0).mean(), rtol=1e-2)
        np.testing.assert_allclose(latent["max"], f[..., i].max(), rtol=1e-2)
        order = np.argsort(-f[..., i].max(1), kind="stable")[: top_passages.PASSAGES]
        assert len(latent["passages"]) == len(order)
        for (tokens, percents, peak, largest), row in zip(latent["passages"], order, strict=True):
            position = f[row, :, i].argmax()
            start = min(max(position - top_passages.BEFORE, 0), 48 - top_passages.POSITIONS)
            assert tokens == rows[row, start : start + top_passages.POSITIONS].tolist() and peak == position - start
            np.testing.assert_allclose(largest, f[row, position, i], rtol=1e-2)
            shown = f[row, start : start + top_passages.POSITIONS, i] / f[..., i].max()
            np.testing.assert_allclose(percents, 100 * shown, atol=1.01)
        assert (
            latent["effects"][0][0] == effects[i].argmax() and latent["effects"][page.EFFECTS][0] == effects[i].argmin()
        )
        np.testing.assert_allclose(latent["effects"][0][1], effects[i].max(), rtol=1e-2)
        assert latent["near"][0][0] == cosines[i].argmax()
    assert data["pieces"][int(rows[0, 0])].strip() == str(rows[0, 0])


def test_batches_of_text_add_up() -> None:
    """Two batches give what one does, and equal activations keep the earlier passage."""
    f = np.random.default_rng(0).exponential(size=(8, 40, 5)).astype(np.float32).round(1)
    add = jax.jit(top_passages.add_batch, static_argnums=3, compiler_options=FAST_COMPILE)
    once = add(top_passages.empty_state(5, 32), f, 0, 32)
    twice = add(add(top_passages.empty_state(5, 32), f[:4], 0, 32), f[4:], 4, 32)
    for name, leaf in once.items():
        np.testing.assert_allclose(leaf, twice[name], rtol=1e-5, err_msg=name)


def test_text_of_the_corpus_stays_text() -> None:
    """Whatever a token is, the JSON element ends where it should and is read back the same."""
    data = {"pieces": {1: "</script><script>alert(1)//", 2: "<!--", 3: "&amp;\u2028"}, "latents": []}
    text = str(page.script_json(data))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["pieces"]["1"] == data["pieces"][1]
    subject = Subject(known_sae(MODEL, random_params(WIDTH, 8), layer=0), MODEL)
    html = page.render_page(subject, data, 100)
    assert html.count("</script>") == 2 and "http://" not in html and "https://" not in html
