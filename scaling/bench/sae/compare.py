"""Measures the training of an autoencoder here and by SAELens, which take turns on the same activations.

Axes: S steps of a turn, B tokens of a step, D width of the activations.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from scaling.bench.sae.lens_process import batch_rows
from scaling.bench.sae.options import HELD_OUT, SaeBenchOptions
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, learning_rate
from scaling.config.validation import ConfigError, require
from scaling.models.sae.functions import decode, encode, fold_scale
from scaling.program import cpu_memory
from scaling.program.sae.program import build_sae_program
from scaling.store.sae_runs import activations_template, sae_run

MAX_ROWS = 1 << 19  # of made activations: later steps read them again
FEATURES = 0.5  # of the dictionary that activations are made of, per latent
NOISE = 0.05  # standard deviation
NEEDS_EXTRA = "bench sae needs the [sae-lens] extra: pip install 'scaling[sae-lens]'"


def compare_training(options: SaeBenchOptions) -> dict[str, Any]:
    """Trains both in turns and scores them on held-out activations.

    Args:
        options: What is trained, on what, and for how long.

    Returns:
        Options, tokens per second and processor seconds of both, the ratio of the speeds with a 95% interval, explained
        variance and L0 of both.

    Raises:
        ConfigError: SAELens is not installed, or the activations do not suit the options.
    """
    if importlib.util.find_spec("sae_lens") is None:
        raise ConfigError(NEEDS_EXTRA)
    cpu_memory.retain_freed_memory()
    threads = options.threads or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        path = Path(options.activations or Path(name) / "activations.npy")
        if not options.activations:
            np.save(path, made_activations(options))
        rows = read_activations(path, options)
        settings = {
            "activations": str(path.absolute()), "kind": options.kind, "latents": options.latents, "l0": options.l0,
            "batch": options.batch, "rounds": options.rounds, "steps": options.steps, "threads": threads,
            "seed": options.seed, "lr": options.lens_lr, "held_out": HELD_OUT,
        }  # fmt: skip
        (Path(name) / "settings.json").write_text(json.dumps(settings))
        config = bench_config(options, rows.shape[1])
        with start_lens(Path(name) / "settings.json", threads) as lens:
            read_line(lens)
            ours, theirs, scores = train_in_turns(config, options, rows, lens)
            lens_scores = read_line(lens)
    facts = {
        "kind": options.kind, "width": int(rows.shape[1]), "latents": options.latents, "l0": options.l0,
        "batch": options.batch, "tokens": options.total_steps * options.batch, "threads": threads,
    }  # fmt: skip
    return facts | compare_turns(options, {"scaling": (ours, scores), "sae_lens": (theirs, lens_scores)})


def compare_turns(
    options: SaeBenchOptions, sides: dict[str, tuple[list[dict[str, float]], dict[str, float]]]
) -> dict[str, Any]:
    """Returns speeds and scores of both, and the ratios of SAELens's seconds to ours, without the first turn.

    Args:
        options: The options.
        sides: Seconds of each turn, and scores, of `scaling` and `sae_lens`.
    """
    result: dict[str, Any] = {}
    seconds = {}
    for side, (turns, scores) in sides.items():
        wall, processor = ([turn[name] for turn in turns[1:]] for name in ("seconds", "processor_seconds"))
        tokens = options.steps * options.batch
        result[side] = {
            "tokens_per_second": tokens / statistics.median(wall),
            "processor_seconds_per_million_tokens": 1e6 * statistics.median(processor) / tokens, **scores,
        }  # fmt: skip
        seconds[side] = wall, processor
    for i, name in enumerate(("speed_ratio", "processor_ratio")):
        result[name] = ratio(seconds["sae_lens"][i], seconds["scaling"][i])
    return result


def made_activations(options: SaeBenchOptions) -> np.ndarray:
    """Returns activations that are sparse sums of directions of norm 1 with noise, float32 (rows, D).

    Features are active with frequencies that fall as a power of their rank, so often that l0 are active in the mean.

    Args:
        options: Width, latents, l0, batch, steps and seed.
    """
    draws = np.random.default_rng(options.seed)
    count, D = max(2, int(FEATURES * options.latents)), options.width
    rows = min(options.total_steps * options.batch, MAX_ROWS) + HELD_OUT
    directions_fD = draws.standard_normal((count, D), np.float32)
    directions_fD /= np.linalg.norm(directions_fD, axis=1, keepdims=True)
    frequency_f = np.arange(1, count + 1) ** -0.7
    frequency_f = np.minimum(frequency_f / frequency_f.sum() * options.l0, 0.5).astype(np.float32)
    offset_D = 0.3 * draws.standard_normal(D, np.float32)
    out = np.empty((rows, D), np.float32)
    for start in range(0, rows, 8192):
        size = min(8192, rows - start)
        active = draws.random((size, count), np.float32) < frequency_f
        values = active * (0.5 + draws.standard_exponential((size, count), np.float32))
        out[start : start + size] = values @ directions_fD + offset_D
        out[start : start + size] += NOISE * draws.standard_normal((size, D), np.float32)
    return out


def read_activations(path: Path, options: SaeBenchOptions) -> np.ndarray:
    """Returns the activations of a file, mapped into memory.

    Args:
        path: The file.
        options: The batch.

    Raises:
        ConfigError: It is no file of float32 of two axes, or has too few rows.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"--activations {path}: not a readable .npy file: {error}") from None
    is_matrix = isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype == np.float32
    require(is_matrix, f"--activations {path}: must be float32 of shape (rows, width)")
    least = options.batch + HELD_OUT
    require(len(rows) >= least, f"--activations {path}: has {len(rows)} rows: must have {least} or more")
    return rows


def bench_config(options: SaeBenchOptions, width: int) -> RunConfig:
    """Returns the run that is trained here.

    Args:
        options: The options.
        width: Width of the activations.
    """
    fields = {
        "kind": options.kind, "latents": options.latents, "l0": options.l0, "layer": 0, "model_run": None,
        "buffer": options.steps,
    }  # fmt: skip
    template = activations_template("0" * 64, width, Path("bench"))
    tokens = options.total_steps * options.batch
    return sae_run(template, fields, tokens=tokens, batch_tokens=options.batch, seed=options.seed)


def start_lens(settings: Path, threads: int) -> subprocess.Popen[str]:
    """Starts the process of SAELens.

    Args:
        settings: File of its settings.
        threads: Its threads.
    """
    command = [sys.executable, "-m", "scaling.bench.sae.lens_process", str(settings)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def read_line(lens: subprocess.Popen[str]) -> dict[str, Any]:
    """Returns the next result of the process of SAELens.

    Raises:
        RuntimeError: The process has ended.
    """
    assert lens.stdout is not None
    for line in lens.stdout:
        if line.startswith("{"):
            data: dict[str, Any] = json.loads(line)
            return data
    raise RuntimeError(f"the process of SAELens ended with status {lens.wait()}")


def train_in_turns(
    config: RunConfig, options: SaeBenchOptions, rows: np.ndarray, lens: subprocess.Popen[str]
) -> tuple[list[dict[str, float]], list[dict[str, float]], dict[str, float]]:
    """Trains both; returns the seconds of each turn here and there, and the scores here.

    Args:
        config: The run here.
        options: The options.
        rows: All activations.
        lens: The process of SAELens.
    """
    program, _ = build_sae_program(config, Placement(compile_cache=False))
    train_XD, size, S = rows[:-HELD_OUT], options.batch, options.steps
    state: Any = program.init(config.seed, np.asarray(batch_rows(train_XD, 0, size)))
    jax.block_until_ready(state)

    def turn(round_number: int) -> None:
        nonlocal state
        first = round_number * S
        x_SBD = np.stack([batch_rows(train_XD, first + i, size) for i in range(S)])
        rates_S = np.array([learning_rate(config, first + i) for i in range(S)], np.float32)
        state, metrics = program.step(state, jax.device_put(x_SBD, program.batch_sharding), rates_S, np.int32(S))
        jax.block_until_ready(metrics)

    ours, theirs = [], []
    assert lens.stdin is not None
    for number in range(options.rounds):
        ours.append(timed(lambda number=number: turn(number)))  # type: ignore[misc]
        lens.stdin.write("\n")
        lens.stdin.flush()
        theirs.append(read_line(lens))
    return ours, theirs, held_out_scores(config, state["params"], np.asarray(rows[-HELD_OUT:]))


def timed(work: Callable[[], None]) -> dict[str, float]:
    """Returns the wall-clock and processor seconds of a call."""
    started_at, processor = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.perf_counter() - started_at, "processor_seconds": time.process_time() - processor}


def held_out_scores(config: RunConfig, params: Any, x_BD: np.ndarray) -> dict[str, float]:
    """Returns explained variance and L0 of the trained autoencoder.

    Args:
        config: The run.
        params: Its parameters.
        x_BD: Held-out activations.
    """
    assert config.sae is not None
    folded = fold_scale(params)
    f_Bn = encode(folded, config.sae.kind, jax.device_put(x_BD), config.sae.l0)
    error = float(np.sum((np.asarray(decode(folded, f_Bn)) - x_BD) ** 2, dtype=np.float64))
    variance = float(np.sum((x_BD - x_BD.mean(0)) ** 2, dtype=np.float64))
    return {"explained_variance": 1 - error / variance, "l0": float(np.mean(np.sum(np.asarray(f_Bn) > 0, 1)))}


def ratio(numerators: list[float], denominators: list[float]) -> dict[str, float]:
    """Returns the geometric mean of the ratios of turns, with a 95% interval by Student's t of their logarithms.

    Args:
        numerators: Seconds of each turn.
        denominators: Seconds of the turns that they are compared with.
    """
    from scipy.special import stdtrit

    logs = np.log(np.asarray(numerators) / np.asarray(denominators))
    half = float(stdtrit(len(logs) - 1, 0.975)) * float(np.std(logs, ddof=1)) / len(logs) ** 0.5
    middle = float(np.mean(logs))
    return {name: float(np.exp(middle + step)) for name, step in (("value", 0.0), ("low", -half), ("high", half))}


def as_text(result: dict[str, Any]) -> str:
    """Formats the result for a terminal."""
    head = f"{result['kind']}, {result['latents']:,} latents of width {result['width']}, L0 {result['l0']:g}, "
    lines = [head + f"{result['tokens']:,} tokens, {result['threads']} threads"]
    lines.append(f"{'':>9} {'tokens/s':>10} {'processor s/M':>14} {'explained':>10} {'L0':>8}")
    for side in ("scaling", "sae_lens"):
        r = result[side]
        line = f"{side:>9} {r['tokens_per_second']:>10,.0f} {r['processor_seconds_per_million_tokens']:>14.1f}"
        lines.append(f"{line} {r['explained_variance']:>10.4f} {r['l0']:>8.2f}")
    for name, text in (("speed_ratio", "tokens per second"), ("processor_ratio", "processor time")):
        r = result[name]
        lines.append(f"{text}: {r['value']:.2f} times SAELens [{r['low']:.2f}, {r['high']:.2f}]")
    return "\n".join(lines)
