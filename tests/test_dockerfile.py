"""The image that the gke engine asks for: the Dockerfile is checked as far as that is possible without a daemon."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.commands import ROOT

DOCKERFILE = ROOT / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


class Instruction(NamedTuple):
    name: str
    text: str


def instructions() -> list[Instruction]:
    """The instructions, with continued lines joined and comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in joined]


def copied() -> list[str]:
    """Sources in the tree of all COPY instructions."""
    texts = [each.text for each in instructions() if each.name == "COPY" and "--from" not in each.text]
    return [source for text in texts for source in text.split()[:-1]]


def commands() -> list[str]:
    return [each.text for each in instructions() if each.name == "RUN"]


def test_the_dockerfile_passes_a_strict_parser_and_linter() -> None:
    done = subprocess.run(
        [HADOLINT, "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied():
        assert (ROOT / source).exists() and any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    assert set(packages) <= set(copied())


def test_its_commands_are_shell_and_its_extra_and_python_are_the_projects() -> None:
    for text in commands():
        assert subprocess.run(["sh", "-n", "-c", text], check=False).returncode == 0, text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    arguments = dict(each.text.split("=") for each in instructions() if each.name == "ARG")
    assert arguments["EXTRA"] in project["optional-dependencies"] and "cuda" in project["optional-dependencies"]
    assert arguments["PYTHON"] in ("3.11", "3.12", "3.13") and project["requires-python"] == ">=3.11"
    assert not re.search(r"https?://|index\Wurl|find\Wlinks", DOCKERFILE.read_text())


@pytest.mark.long
def test_its_commands_make_an_installation_that_trains(tmp_path: Path) -> None:
    """The wheel is built from what the Dockerfile copies, alone; dependencies are those of this environment."""
    context, wheels, folder = tmp_path / "source", tmp_path / "wheels", tmp_path / "venv"
    context.mkdir()
    for source in copied():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, context / source)
    build = commands()[0].replace("/wheels", str(wheels)).replace("python", sys.executable, 1)
    done = subprocess.run(["sh", "-c", build], cwd=context, capture_output=True, text=True, check=False)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("no package index for the build's own requirement")
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("scaling-*.whl")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    def run(*words: object) -> str:
        done = subprocess.run([python, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(folder) in run("-c", "import scaling, sweeps, analysis; print(scaling.__file__)")
    (start,) = (json.loads(each.text) for each in instructions() if each.name == "CMD")
    assert start[0] == "python" and "train" in run(*start[1:])
    store, corpus = tmp_path / "store", "markov:vocab=16,tokens=20000"
    plan = run("-m", "sweeps", "plan", "quickstart", "--corpus", corpus, "--store", store, "--slice", "v5e-4", "--json")
    config = {
        "model": {"vocab": 16, "width": 8, "layers": 1, "heads": 1, "mlp_width": 16},
        "data": {"tokens": json.loads(plan)["corpus"]["tokens"], "length": 16},
        "optimizer": {"lr": 0.01}, "batch": 8, "steps": 2, "eval": {"sequences": 8},
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(config))
    run("-m", "scaling", "train", tmp_path / "run.json", "--store", store)
    assert "done" in run("-m", "analysis", "table", store)
