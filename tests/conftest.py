"""Environment of the tests, and fixtures: a corpus of real text, stores, and a run of 20 steps."""

import os
import shutil
from pathlib import Path

import pytest

# Eight devices wherever JAX is imported in this process: meshes are tested for what they are.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "compiled"))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker a core: threads of its own would wait for the other worker's
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from scaling.data.prepare import prepare
from scaling.data.tokens import open_tokens
from scaling.store.record import Store
from tests.docs.harness.site import built_site
from tests.packaging.wheel import installed_wheel  # noqa: F401  (a fixture of several folders)
from tests.support.commands import ROOT
from tests.support.sweeps import write_noise_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token file of the project's own text."""
    folder = tmp_path_factory.mktemp("corpus")
    text = folder / "text"
    text.mkdir()
    for path in sorted((ROOT / "scaling").rglob("*.py")):
        (text / "-".join(path.relative_to(ROOT).parts)).write_bytes(path.read_bytes())
    return prepare(f"text:{text}", folder / "tokens")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation site."""
    return built_site(tmp_path_factory)


@pytest.fixture
def store(tmp_path: Path, corpus: Path) -> Store:
    """An empty store that has the corpus."""
    store = Store(tmp_path / "store")
    store.token_files.mkdir(parents=True)
    os.link(corpus, store.token_files / corpus.name)
    return store


@pytest.fixture
def tiny(corpus: Path) -> RunConfig:
    """20 steps of a model of some ten thousand parameters."""
    return RunConfig(
        model=ModelConfig(vocab=264, width=16, layers=2, heads=2, mlp_width=32),
        data=DataConfig(tokens=open_tokens(corpus).content_hash, length=32),
        optimizer=OptimizerConfig(lr=0.01),
        schedule=ScheduleConfig(warmup=4),
        eval=EvalConfig(every=6, sequences=20),
        batch=8,
        steps=20,
    )


@pytest.fixture
def second_store(tmp_path: Path, store: Store) -> Store:
    """A second store with the same corpus."""
    second = Store(tmp_path / "other")
    shutil.copytree(store.token_files, second.token_files)
    return second


@pytest.fixture
def noise_store(tmp_path: Path) -> Store:
    """A store with a small token file of random symbols, for sweeps of the real trainer."""
    return write_noise_corpus(Store(tmp_path / "noise"))
