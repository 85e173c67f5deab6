"""The functions of `import scaling`: a run from corpus to text, and an interrupt that saves it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import scaling
from scaling.config.run import RunConfig, dumps
from scaling.store.record import Store
from tests.support.commands import ROOT

INTERRUPTED = """
import os, signal, sys, threading, time
import scaling

store = scaling.open_store(sys.argv[2])

started_at = time.time()

def interrupt():  # once this process has trained some steps
    while not [path for path in store.root.glob("runs/*/curve.jsonl") if path.stat().st_mtime > started_at]:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
before = signal.getsignal(signal.SIGINT)
record = scaling.train(sys.argv[1], store)
print(record.status, 0 < record.about["steps_computed"] < 100_000, signal.getsignal(signal.SIGINT) is before)
"""


def test_every_name_can_be_imported_and_importing_scaling_imports_nothing_heavy() -> None:
    for name in scaling.__all__:
        assert getattr(scaling, name).__name__ == name
    assert sorted(scaling.__all__) == sorted(scaling._MODULES)
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        _ = scaling.no_such
    code = "import scaling, sys; print([m for m in ('jax', 'numpy', 'argparse', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_run_from_corpus_to_text(tmp_path: Path, tiny: RunConfig, store: Store) -> None:
    tokens = scaling.prepare("markov:vocab=16,tokens=20000", tmp_path / "S")
    assert tokens.vocab == 16 and tokens.path.parent == tmp_path / "S" / "tokens"
    (tmp_path / "run.json").write_text(dumps(tiny))
    counts = scaling.count(tiny)
    assert counts == scaling.count(tmp_path / "run.json") and counts.length == tiny.data.length
    assert scaling.count(tiny.model, length=8).params == counts.params
    with pytest.raises(scaling.ConfigError, match="only with a preset"):
        scaling.count(tiny, length=8)
    options = scaling.EvaluationOptions(tasks=("copying-2",), items=3)
    record = scaling.train(tiny, store, evaluation=options, progress=False)
    assert (record.status, record.params, record.flops) == ("done", counts.params, counts.flops)
    assert "copying-2/exact_match" in record.evals
    assert scaling.train(tmp_path / "run.json", store.root, progress=False) == record
    score = scaling.evaluate(record.run_id[:10], store, ["copying-3"])["copying-3"]["exact_match"]
    assert score.count > 100 and score.interval is not None
    with pytest.raises(scaling.ConfigError, match="unknown task"):
        scaling.evaluate(record.run_id, store, ["no-such-task"])
    texts = scaling.generate(record.run_id, store, ["def ", "import "], tokens=5, seed=3)
    assert len(texts) == 2 and texts == scaling.generate(record.run_id, store, ["def ", "import "], tokens=5, seed=3)


@pytest.mark.slow
def test_an_interrupt_saves_the_run_and_the_same_call_resumes(tmp_path: Path, tiny: RunConfig, store: Store) -> None:
    from dataclasses import replace

    path = tmp_path / "run.json"
    path.write_text(dumps(replace(tiny, steps=100_000, eval=replace(tiny.eval, every=0))))
    env = {**os.environ, "XLA_FLAGS": ""}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED, path, store.root], capture_output=True, text=True, cwd=ROOT, env=env,
            check=False,
        )  # fmt: skip
        assert done.stdout == "stopped True True\n", done.stderr
    assert "stopping after this step" in done.stderr and " steps from step " in done.stderr
