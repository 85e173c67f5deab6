"""What one process has compiled the next one finds; and a batch is there before the step that wants it."""

from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, run_id
from scaling.store.record import Store
from tests.support.commands import command

SAYS = "jax._src.compiler"  # hits and misses
HIT = "cache hit for 'jit_run_steps'"  # the steps of a block


def trained(store: Store, config: RunConfig, cache: Path, *more: str) -> tuple[str, list[dict[str, float]]]:
    """What JAX says of its cache in a new process, and the curve."""
    path = store.root / "config.json"
    path.write_text(dumps(config))
    words = ("scaling", "train", path, "--store", store.root, *more)
    done = command(*words, XDG_CACHE_HOME=cache, JAX_COMPILATION_CACHE_DIR="", JAX_DEBUG_LOG_MODULES=SAYS)
    assert done.returncode == 0, done.stderr
    record = store.read(run_id(config))
    assert record is not None and 0 <= record.about["input_wait"] < 1
    return done.stderr.lower(), store.curve(run_id(config))


@pytest.mark.slow
def test_a_second_process_compiles_nothing_anew(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cold, first = trained(store, tiny, cache)
    entries = sorted(cache.rglob("*-cache"))
    assert entries and all((cache / "scaling" / "compiled") in path.parents for path in entries)
    store.root.joinpath("runs").rename(tmp_path / "before")
    store.checkpoints.rename(tmp_path / "checkpoints")
    warm, second = trained(store, tiny, cache)
    assert second == first
    assert sorted(cache.rglob("*-cache")) == entries
    assert HIT in warm and HIT not in cold


@pytest.mark.slow
def test_nothing_is_kept_where_that_is_not_wanted(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    trained(store, tiny, tmp_path / "cache", "--place", "compile_cache=false")
    assert not (tmp_path / "cache").exists()
