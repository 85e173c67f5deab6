"""The page of latents: one HTML file with data, style and script, which needs no other file and no network.

Text of the corpus is data of the page: it is in a JSON element and becomes text nodes, never markup or code.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from scaling.evaluation.sae.latents import density_histogram, nearest
from scaling.evaluation.sae.logit_effects import logit_effects
from scaling.evaluation.sae.text import Subject
from scaling.evaluation.sae.top_passages import TopPassages, top_passages
from scaling.inference.load import TrainedModel

LATENTS = 4096  # on a page, unless another number is given
TOKENS = 200_000  # of text, unless another number is given
EFFECTS = 6  # tokens of each sign
NEIGHBOURS = 5
DIGITS = 3  # of numbers on the page
SCRIPT_ESCAPES: dict[str, str | int | None] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def page_data(subject: Subject, rows_SX: np.ndarray, latents: int) -> dict[str, Any]:
    """Returns what the page shows.

    Args:
        subject: The autoencoder and its model.
        rows_SX: Tokens of text, int32 (S, L + 1).
        latents: Number of latents, from the first.

    Returns:
        `pieces`, the text of each token that occurs, by its number; and `latents`, one object each: `density`, `mean`
        and `max` of its activations, `cosine` with the nearest other decoder direction, `near` ([latent, cosine]
        pairs), `effects` ([token, effect] pairs, of both signs), and `passages`: [tokens, activations in percent of
        `max`, position of the largest, largest activation].
    """
    latents = min(latents, subject.sae.sae.latents)
    passages = top_passages(subject, rows_SX, latents)
    near_nk, cosine_nk = nearest(subject.sae.params["W_dec"], NEIGHBOURS)
    token_nk, effect_nk = logit_effects(subject, latents, EFFECTS)
    rows: list[dict[str, Any]] = []
    for i in range(latents):
        active, largest = int(passages.active_n[i]), float(passages.largest_nK[i].max())
        row: dict[str, Any] = {
            "density": rounded(active / passages.tokens),
            "mean": rounded(float(passages.sum_n[i]) / active) if active else 0,
            "max": rounded(max(0.0, largest)),
            "near": _pairs(near_nk[i], cosine_nk[i]),
            "effects": _pairs(token_nk[i], effect_nk[i]),
            "passages": latent_passages(passages, i),
        }
        if cosine_nk.size:
            row["cosine"] = rounded(float(cosine_nk[i, 0]))
        rows.append(row)
    used = {int(token) for row in rows for token, _ in row["effects"]}
    used |= {token for row in rows for passage in row["passages"] for token in passage[0]}
    return {"pieces": {token: token_text(subject.model, token) for token in sorted(used)}, "latents": rows}


def latent_passages(passages: TopPassages, latent: int) -> list[list[Any]]:
    """Returns the passages of a latent for the page, those with the largest activations first.

    Args:
        passages: The passages of all latents.
        latent: Index of the latent.
    """
    largest, out = float(passages.largest_nK[latent].max()), []
    for k, value in enumerate(passages.largest_nK[latent].tolist()):
        if value > 0:
            percent_W = np.ceil(100 * passages.activations_nKW[latent, k] / largest).astype(int)
            tokens_W = passages.tokens_nKW[latent, k]
            out.append([tokens_W.tolist(), percent_W.tolist(), int(passages.peak_nK[latent, k]), rounded(value)])
    return out


def _pairs(numbers: np.ndarray, values: np.ndarray) -> list[list[float]]:
    return [[number, rounded(value)] for number, value in zip(numbers.tolist(), values.tolist(), strict=True)]


def token_text(model: TrainedModel, token: int) -> str:
    """Returns the text of one token; bytes that are not UTF-8 on their own are written as escapes.

    Args:
        model: The model.
        token: The token.
    """
    return bytes(model.tokenizer.decode(np.array([token], np.int64))).decode(errors="backslashreplace")


def rounded(value: float) -> float:
    """Returns a number with the digits of the page; whole numbers are integers, which are shorter."""
    number = float(f"{value:.{DIGITS}g}")
    return int(number) if number.is_integer() else number


def script_json(data: Any) -> Markup:
    """Returns JSON for a script element, without characters that could end it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(str.maketrans(SCRIPT_ESCAPES)))


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the Jinja2 environment of the templates, with autoescape."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def histogram_bars(densities: Iterable[float], tokens: int) -> list[dict[str, Any]]:
    """Returns the bars of the histogram of densities: `label`, `latents`, and `share` of the highest bar.

    Args:
        densities: Share of tokens on which each latent is active.
        tokens: Tokens of text.
    """
    bins = density_histogram(np.array(list(densities), np.float64), tokens)
    highest = max((row["latents"] for row in bins), default=0)
    return [
        {
            "label": f"{10 ** row['low']:.2g} to {10 ** row['high']:.2g}",
            "latents": int(row["latents"]),
            "share": row["latents"] / highest if highest else 0.0,
        }
        for row in bins
    ]


def render_page(subject: Subject, data: dict[str, Any], tokens: int) -> str:
    """Returns the page.

    Args:
        subject: The autoencoder and its model.
        data: As of `page_data`.
        tokens: Tokens of text.
    """
    sae, config = subject.sae, subject.sae.sae
    densities = [row["density"] for row in data["latents"]]
    l0 = math.fsum(densities)
    context = {
        "run": sae.record.run_id[:12], "model_run": subject.model.record.run_id[:12], "step": sae.step, "sae": config,
        "tokens": tokens, "shown": len(densities), "dead": densities.count(0),
        "l0": f"{l0:.3g}" if len(densities) == config.latents else None,
        "bars": histogram_bars(densities, tokens), "data": script_json(data),
    }  # fmt: skip
    return environment().get_template("latents.html.j2").render(context)
