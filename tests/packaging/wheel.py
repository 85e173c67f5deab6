"""The package built as a wheel and installed into an environment of its own, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import ROOT

SQUARED_MLP = (ROOT / "tests" / "packaging" / "squared_mlp.py").read_text()  # of a user, with the class Squared

# Stops the imports of packages in a child process, as if they were not installed: {names} are replaced.
MISSING = """\
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {names} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


@dataclass(frozen=True)
class InstalledWheel:
    """An environment that has the wheel, and the dependencies of the environment of the tests.

    Attributes:
        wheel: The wheel.
        python: Interpreter of the environment.
        folder: Empty folder in which commands run if they name no other.
    """

    wheel: Path
    python: Path
    folder: Path

    def run(
        self, *arguments: object, folder: Path | None = None, missing: Iterable[str] = (), check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs `python ARGUMENTS` in this environment, as after `pip install`.

        Args:
            arguments: Arguments of the interpreter, such as "-m", "sweeps", "list".
            folder: Working folder.
            missing: Packages that cannot be imported, as if they were not installed.
            check: Whether an exit status other than 0 fails the test.
        """
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS", "JAX_NUMPY_RANK_PROMOTION")}
        if missing:
            hooks = self.folder.parent / ("without-" + "-".join(sorted(missing)))
            hooks.mkdir(exist_ok=True)
            (hooks / "sitecustomize.py").write_text(MISSING.format(names=sorted(missing)))
            kept["PYTHONPATH"] = str(hooks)
        done = subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=folder or self.folder,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
        return done


def build(target: str, folder: Path, source: Path = ROOT) -> Path:
    """Builds a wheel or an sdist with the build backend of pyproject.toml.

    Args:
        target: wheel or sdist.
        folder: Folder for it, new.
        source: Root of the source tree.
    """
    line = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    done = subprocess.run(line, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("scaling-*")
    return built


@pytest.fixture(scope="session")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    """The wheel in an environment of its own; dependencies are those of the environment of the tests.

    That environment's folder of packages is on the path, but not what its own .pth files add: the checkout.
    """
    root = tmp_path_factory.mktemp("wheel")
    wheel = build("wheel", root / "dist")
    venv.create(root / "venv", with_pip=False)
    python = root / "venv" / "bin" / "python"
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    (site,) = (root / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (root / "empty").mkdir()
    return InstalledWheel(wheel, python, root / "empty")
