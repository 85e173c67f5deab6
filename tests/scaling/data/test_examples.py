"""Examples with answers: the answer alone is scored, each example is read once an epoch, and accuracy is the
share of answers that are right."""

import dataclasses
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig, override, run_id
from scaling.config.validation import ConfigError, canonical
from scaling.counting import counts
from scaling.data import examples
from scaling.data.corpora import modular
from scaling.data.corpora.specification import open_corpus
from scaling.data.prepare import prepare
from scaling.data.token_writer import TokenSource, write_tokens
from scaling.data.tokens import CorpusError, TokenFile, open_tokens
from scaling.models.transformer import ForwardOptions
from scaling.program.build import build_program
from scaling.program.step import head_inputs, init_model, program_functions, program_shape
from scaling.store.record import Store
from scaling.training.packs.loop import train_pack
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import epochs, plan_sweep
from tests.support.models import FAST_COMPILE, dot_flops
from tests.support.training import STEPWISE, assert_same_run, train_run

P = 7
EQUATIONS = f"modular:p={P},fraction=0.6"


@pytest.fixture
def sums(tmp_path: Path) -> Store:
    """A store with the sums modulo P: 29 to train on, 20 held out."""
    store = Store(tmp_path / "store")
    prepare(EQUATIONS, store.token_files)
    return store


@pytest.fixture
def tokens(sums: Store) -> TokenFile:
    [path] = sums.token_files.glob("*.tokens")
    return open_tokens(path)


@pytest.fixture
def run(tokens: TokenFile) -> RunConfig:
    """All of the training equations a step, 30 times."""
    return RunConfig(
        model=ModelConfig(
            vocab=P + 1, width=16, layers=1, heads=2, mlp_width=32, positions="learned", position_length=3
        ),
        data=DataConfig(tokens=tokens.content_hash, length=3, objective="examples"),
        optimizer=OptimizerConfig(lr=0.01),
        batch=29,
        steps=30,
    )  # fmt: skip


def test_an_epoch_is_every_example_once_and_each_epoch_has_its_own_order(tokens: TokenFile, run: RunConfig) -> None:
    first, second = (examples.training_rows(tokens, run, np.arange(29) + 29 * e).tolist() for e in (0, 1))
    all_rows = tokens.train.reshape(-1, 4).tolist()
    assert sorted(first) == sorted(second) == sorted(all_rows) and first != second
    seeded = examples.training_rows(tokens, override(run, ["seed=1"]), np.arange(29)).tolist()
    assert sorted(seeded) == sorted(all_rows) and seeded != first
    assert examples.training_rows(tokens, run, np.array([40, 3])).tolist() == [second[11], first[3]]
    held_out = examples.validation_rows(tokens, run).tolist()
    assert sorted(held_out) == sorted(tokens.validation.reshape(-1, 4).tolist())


def test_of_few_unique_examples_all_seeds_have_the_same_and_more_has_fewer(tokens: TokenFile, run: RunConfig) -> None:
    def read(*changes: str) -> Counter[tuple[int, ...]]:
        return Counter(map(tuple, examples.training_rows(tokens, override(run, list(changes)), np.arange(40)).tolist()))

    ten = read("data.unique=30")  # tokens that a model reads
    assert set(ten.values()) == {4} and len(ten) == 10
    assert set(read("data.unique=30", "seed=5")) == set(ten) < set(read("data.unique=60"))
    few_runs = override(run, ["data.unique=30"])
    followed = examples.fixed_training_rows(tokens, few_runs)
    assert followed is not None and set(map(tuple, followed.tolist())) == set(ten)
    subset = examples.fixed_training_rows(tokens, override(few_runs, ["eval.sequences=4"]))
    assert subset is not None and len(subset) == 4


def test_the_answer_alone_is_scored_and_is_not_read(tokens: TokenFile, run: RunConfig) -> None:
    shape, rows = program_shape(run, STEPWISE, (1, 1, 1, 1)), examples.training_rows(tokens, run, np.arange(2))
    graph = nnx.split(nnx.eval_shape(lambda: init_model(run.model, nnx.Rngs(0))))[0]
    params = build_program(run, STEPWISE)[0].init(0)["params"]
    read = jax.jit(
        lambda params, rows: head_inputs(nnx.merge(graph, params), shape, rows)[:2], compiler_options=FAST_COMPILE
    )
    x_BLD, targets_BL = read(params, rows)
    np.testing.assert_array_equal(targets_BL, rows[:, -1:])
    assert x_BLD.shape == (2, 1, 16)
    for place, matters in enumerate((True, True, True, False)):
        changed = rows.copy()
        changed[0, place] = (rows[0, place] + 1) % P
        moved = np.abs(np.asarray(read(params, changed)[0]) - np.asarray(x_BLD)).max(axis=(1, 2)) > 1e-6
        assert moved.tolist() == [matters, False], place


def test_accuracy_is_the_share_of_right_answers_and_loss_their_mean(
    sums: Store, tokens: TokenFile, run: RunConfig
) -> None:
    config = override(run, ["eval.every=20", "steps=120", "optimizer.lr=0.02"])
    record = train_run(config, sums)
    curve = sums.curve(record.run_id)
    evaluated = [row for row in curve if "val_loss" in row]
    assert [row["step"] for row in evaluated] == [20, 40, 60, 80, 100, 120]
    names = {"val_loss", "val_accuracy", "train_accuracy", "train_loss_fixed"}
    assert all(names <= set(row) for row in evaluated) and not names & set(curve[0])
    assert record.final["train_accuracy"] == 1.0 > record.final["val_accuracy"] == curve[-1]["val_accuracy"]
    assert record.final["loss"] == curve[-1]["val_loss"] and "val_loss" not in record.final
    compiled, _ = build_program(config, STEPWISE)
    state = compiled.init(0)
    scores = compiled.evaluate(state["params"], examples.training_rows(tokens, config, np.arange(29)))
    model = nnx.merge(nnx.split(nnx.eval_shape(lambda: init_model(run.model, nnx.Rngs(0))))[0], state["params"])
    rows = examples.training_rows(tokens, config, np.arange(29))
    x_BLD, _ = model.hidden_states(jnp.asarray(rows[:, :-1]), None, ForwardOptions(kernel="xla"))
    logits_BV = np.asarray(x_BLD[:, -1] @ model.head_matrix())
    np.testing.assert_array_equal(scores["accuracy"], logits_BV.argmax(1) == rows[:, -1])
    right_B = np.log(np.exp(logits_BV).sum(1)) - logits_BV[np.arange(29), rows[:, -1]]
    np.testing.assert_allclose(scores["loss"], right_B, atol=1e-5)


def test_an_answer_of_two_tokens_is_right_when_both_are(tokens: TokenFile, run: RunConfig) -> None:
    config = override(run, ["data.scored=2"])
    params, rows = (
        build_program(run, STEPWISE)[0].init(0)["params"],
        examples.training_rows(tokens, config, np.arange(29)),
    )
    first, two = (
        build_program(override(config, [f"data.scored={n}"]), STEPWISE)[0].evaluate(params, rows) for n in (1, 2)
    )
    assert (np.asarray(two["accuracy"]) <= np.asarray(first["accuracy"])).all()
    assert (
        counts.run_flops(config)["head_forward"]
        == 2 * counts.run_flops(override(config, ["data.scored=1"]))["head_forward"]
    )


def test_resume_equals_uninterrupted(sums: Store, run: RunConfig, tmp_path: Path) -> None:
    config, other = override(run, ["eval.every=7"]), Store(tmp_path / "other")
    prepare(EQUATIONS, other.token_files)
    train_run(config, sums)
    assert train_run(config, other, stop_after=9).status == "stopped"
    train_run(config, other)
    assert_same_run(sums, other, config)


@pytest.mark.slow
def test_a_packs_figures_are_those_of_the_runs_alone(sums: Store, run: RunConfig, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    prepare(EQUATIONS, other.token_files)
    changes = [["optimizer.lr=0.005"], ["seed=1", "data.unique=60", "eval.sequences=11"]]
    configs = [override(run, ["eval.every=5", "steps=15", *change]) for change in changes]
    train_pack(configs, sums, STEPWISE, sweep=None, emit=lambda event: None, should_stop=lambda: False)
    for config in configs:
        train_run(config, other)
        first, two = (store.curve(run_id(config)) for store in (sums, other))
        for a, b in zip(first, two, strict=True):
            assert a.keys() == b.keys()
            for name in a.keys() - {"grad_norm"}:
                assert a[name] == pytest.approx(b[name], abs=1e-5), name
        final = [dict(store.read(run_id(config)).final) for store in (sums, other)]
        assert final[0].keys() == final[1].keys() and "val_accuracy" in final[0]


def test_flops_are_the_products_of_the_program(run: RunConfig) -> None:
    """The head's of the answer alone."""
    functions = program_functions(program_shape(run, STEPWISE, (1, 1, 1, 1)))
    params = jax.eval_shape(functions.init, jax.ShapeDtypeStruct((), jnp.uint32))["params"]
    rows = jax.ShapeDtypeStruct((run.batch, 4), jnp.int32)
    counted = counts.forward_flops(run.model, 3, run.batch, run.data.layout)
    assert dot_flops(functions.evaluate, params, rows) == sum(
        n for part, n in counted.items() if part != "attention_causal"
    )
    assert counted["head"] == run.batch * 2 * 16 * (P + 1)


def test_a_plan_counts_epochs_of_examples(run: RunConfig, tokens: TokenFile) -> None:
    corpus = Corpus(name="own", tokens=tokens.content_hash, vocab=P + 1, train=tokens.counts[0])
    planned = plan_sweep([run, override(run, ["data.unique=30"])], corpus)
    assert sorted(epochs(planned_run, planned) for planned_run in planned.runs) == [30, 87]


def test_other_configs_keep_their_identity(run: RunConfig) -> None:
    assert "scored" not in canonical(run)["data"]
    for change, message in (
        ("data.scored=4", "DataConfig.scored = 4: must be from 1 to 3"),
        ("data.scored=0", "must be from 1 to 3"),
        ("data.document_end=2", "must be null unless causal"),
    ):
        with pytest.raises(ConfigError, match=message):
            override(run, [change])
    with pytest.raises(ConfigError, match="used only by examples"):
        dataclasses.replace(run.data, objective="causal", scored=2)


def test_a_file_of_other_examples_is_refused_in_one_line(run: RunConfig, tokens: TokenFile, tmp_path: Path) -> None:
    longer = override(run, ["data.length=2"])
    with pytest.raises(CorpusError, match=r"data.length = 2: the examples of .* have 4 tokens: set 3"):
        examples.check_run(tokens, longer)
    parts = [np.arange(10) % 5], [np.arange(8) % 5]
    odd = open_tokens(write_tokens(tmp_path, TokenSource("x", "t", vocab=5, eod=None), *parts))
    with pytest.raises(CorpusError, match=r"train split of .* has 10 tokens, no whole number of examples of 4"):
        examples.check_run(odd, run)


# corpora


@pytest.mark.parametrize(("op", "a", "b", "c"), [
    ("add", 5, 4, 2), ("subtract", 2, 5, 4), ("multiply", 3, 5, 1), ("divide", 1, 3, 5), ("squares", 3, 2, 6),
    ("cubic", 2, 3, 0),
])  # fmt: skip
def test_every_equation_is_there_once_and_true(op: str, a: int, b: int, c: int) -> None:
    rows = modular.all_equations(P, op, 0).tolist()
    assert [a, b, P, c] in rows and len({(row[0], row[1]) for row in rows}) == len(rows) == P * (P - (op == "divide"))
    for left, right, sign, answer in rows:
        if op == "divide":
            assert answer * right % P == left
        assert sign == P and 0 <= answer < P


def test_the_splits_are_all_equations_and_share_none(tokens: TokenFile) -> None:
    train, held_out = (set(map(tuple, split.reshape(-1, 4).tolist())) for split in (tokens.train, tokens.validation))
    assert len(train) == 29 and len(held_out) == 20 and not train & held_out and len(train | held_out) == 49
    corpus = open_corpus(f"modular:p={P},fraction=0.3,seed=0")
    assert {tuple(row) for part in corpus.documents() for row in part.reshape(-1, 4).tolist()} < train
    assert modular.all_equations(P, "add", 1).tolist() != modular.all_equations(P, "add", 0).tolist()


def test_labels_are_wrong_as_often_as_asked_and_in_training_alone(tmp_path: Path) -> None:
    options = "labels:classes=4,examples=4000,held=1000,length=6,symbols=12,blur=0"
    clean, noisy = (open_tokens(prepare(f"{options},noise={n}", tmp_path)) for n in ("0", "0.2"))
    right, mask = (f.train.reshape(-1, 7).astype(int) for f in (clean, noisy))
    np.testing.assert_array_equal(right[:, :-1], mask[:, :-1])
    np.testing.assert_array_equal(clean.validation, noisy.validation)
    of_input: dict[tuple[int, ...], set[int]] = {}
    for row in [*right.tolist(), *clean.validation.reshape(-1, 7).tolist()]:
        of_input.setdefault(tuple(row[:-1]), set()).add(row[-1])
    assert len(of_input) == 4 and all(len(labels) == 1 for labels in of_input.values())
    wrong = mask[:, -1] != right[:, -1]
    assert abs(wrong.mean() - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5
    assert set(mask[:, -1]) == set(range(12, 16)) and noisy.vocab == 16
    assert noisy.facts["example"] == 7 and noisy.facts["noise"] == 0.2
    moved = np.bincount((mask[wrong, -1] - right[wrong, -1]) % 4, minlength=4)
    assert moved[0] == 0 and moved[1:].min() > 0.25 * wrong.sum()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("modular:q=3", "unknown option 'q': must be one of p, op, fraction, seed"),
        ("modular:p=x", "p=x: must be an integer"),
        ("modular:p=1", "requires p from 2 to 4,096 and fraction between 0 and 1"),
        ("modular:fraction=1", "fraction between 0 and 1"),
        ("modular:op=power", "op=power: must be one of add, subtract, multiply"),
        ("modular:op=divide,p=9", "p=9: p must be prime"),
        ("modular:p=2,fraction=0.01", "leaves a split empty"),
        ("labels:classes=1", "requires classes ≥ 2"),
        ("labels:noise=1", "noise and blur at least 0 and less than 1"),
        ("labels:blur=nan", "noise and blur at least 0"),
        ("labels:size=2", "unknown option 'size'"),
    ],
)
def test_a_corpus_that_cannot_be_says_so(spec: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message.replace("(", r"\(")):
        open_corpus(spec)
