"""`count` says what its FLOPs are of; `--place` is named in its own errors."""

import json
from pathlib import Path

import pytest

from scaling.__main__ import main
from scaling.config.placement import Placement
from scaling.config.run import dumps, override
from scaling.config.validation import ConfigError
from scaling.counting.counts import training_flops
from tests.support.models import byte_run


def test_count_says_of_which_sequences_its_flops_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "gpt2", "--length", "512"]) == 0
    assert "training FLOPs of one sequence of 512 tokens\n" in capsys.readouterr().out
    assert main(["count", "gpt2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["sequences"], data["length"]) == (1, 2048) and set(data) >= {"params", "flops"}
    config = byte_run().config
    (tmp_path / "run.json").write_text(dumps(config))
    assert main(["count", str(tmp_path / "run.json"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["sequences"], data["length"]) == (config.batch * config.steps, config.data.length)
    assert data["flops"] == training_flops(config.model, data["length"], data["sequences"], config.batch)
    assert main(["count", str(tmp_path / "run.json")]) == 0
    assert f"training FLOPs of the whole run, {data['sequences']:,} sequences of" in capsys.readouterr().out
    assert main(["count", str(tmp_path / "run.json"), "--length", "5"]) == 2


@pytest.mark.parametrize("assignment", ["data", "colour=red", "data.x=1"])
def test_the_error_of_a_flag_names_that_flag(assignment: str) -> None:
    with pytest.raises(ConfigError, match=f"^--place {assignment}: "):
        override(Placement(), [assignment], "--place")
    with pytest.raises(ConfigError, match=f"^--set {assignment}: "):
        override(Placement(), [assignment])


def test_train_and_aot_name_the_flag_of_the_placement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(dumps(byte_run().config))
    assert main(["train", str(tmp_path / "run.json"), "--store", str(tmp_path), "--place", "colour=red"]) == 2
    assert "scaling train: --place colour=red: unknown field colour" in capsys.readouterr().err
    assert main(["aot", str(tmp_path / "run.json"), "--topology", "v5e-16", "--place", "colour=red"]) == 2
    assert "scaling aot: --place colour=red: unknown field colour" in capsys.readouterr().err
