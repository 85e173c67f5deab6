"""Training on corrupted spans (T5) and masked tokens (BERT): the same guarantees as causal runs."""

import dataclasses
import json
import math
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.config.validation import ConfigError
from scaling.counting import counts
from scaling.data import corruption, examples
from scaling.data import windows as windows_module
from scaling.data.tokens import CorpusError, TokenFile, find_tokens, open_tokens
from scaling.data.windows import training_windows
from scaling.program.build import build_program
from scaling.program.step import head_inputs, init_model, program_functions, program_shape
from scaling.store.record import Record, Store
from scaling.training import steps
from scaling.training.packs.loop import train_pack
from scaling.training.run import Run
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep, step_shape
from tests.support.commands import call_command, command
from tests.support.models import FAST_COMPILE, dot_flops
from tests.support.sweeps import wait_until
from tests.support.training import STEPWISE, assert_same_run, losses, start_trainer, train_run, wait_for_event

ENCODER = ModelConfig(
    vocab=272, width=16, layers=2, heads=2, mlp_width=32, kind="encoder", positions="buckets", buckets=8, mlp="gelu"
)
T5 = dataclasses.replace(ENCODER, kind="encoder-decoder", layers=1, attention_scale=1.0, tied=True, mlp="relu")


def of_objective(config: RunConfig, objective: str) -> RunConfig:
    data = dataclasses.replace(config.data, objective=objective)
    return dataclasses.replace(config, model=T5 if objective == "span" else ENCODER, data=data)


@pytest.fixture(params=["span", "masked"])
def run(request: pytest.FixtureRequest, tiny: RunConfig) -> RunConfig:
    """20 steps of a T5 or a BERT."""
    return of_objective(tiny, request.param)


@pytest.fixture
def tokens(corpus: Path) -> TokenFile:
    return open_tokens(corpus)


def windows(tokens: TokenFile, rows: np.ndarray, length: int, seed: int = 0) -> np.ndarray:
    return training_windows(tokens, seed=seed, length=length, rows=rows)[:, :-1]


def test_a_row_is_the_same_in_whatever_batch_it_comes(tokens: TokenFile, run: RunConfig) -> None:
    rows = np.arange(40)
    rows_BC = examples.training_rows(tokens, run, rows)
    np.testing.assert_array_equal(rows_BC[[3, 31, 7]], examples.training_rows(tokens, run, np.array([3, 31, 7])))
    assert len({row.tobytes() for row in rows_BC}) == 40
    seeded = dataclasses.replace(run, seed=1)
    np.testing.assert_array_equal(examples.validation_rows(tokens, run), examples.validation_rows(tokens, seeded))
    assert (examples.training_rows(tokens, seeded, rows) != rows_BC).any()
    length, epoch = run.data.length, windows_module.count_windows(len(tokens.train), run.data.length)
    large = np.arange(2 * epoch)
    read = windows(tokens, large, length)
    first = {row.tobytes(): i for i, row in enumerate(read[:epoch])}
    second = [(first[row.tobytes()], epoch + i) for i, row in enumerate(read[epoch : epoch + 20])]
    a, b = np.array(second).T
    other_way = examples.training_rows(tokens, run, a) != examples.training_rows(tokens, run, b)
    assert other_way.any(axis=1).mean() > 0.9  # another epoch corrupts a window anew


def test_corruption_never_changes(run: RunConfig) -> None:
    """Golden rows: a run resumed years later reads what it read."""
    window, rows = np.arange(40)[None] + np.zeros((2, 1), np.int64), np.array([0, 10**12])
    data = DataConfig(tokens="0" * 64, length=40, objective=run.data.objective)
    if run.data.objective == "span":
        rows_BC = corruption.corrupt_spans(window, rows, key="golden", layout=data.layout, vocab=60)
    else:
        rows_BC = corruption.mask_tokens(window, rows, key="golden", layout=data.layout, vocab=60, text_vocab=50)
    golden = json.loads((Path(__file__).parent / "golden_corruption.json").read_text())
    assert rows_BC.tolist() == golden[run.data.objective]


@pytest.mark.parametrize("run", [pytest.param("span", marks=pytest.mark.slow), "masked"], indirect=True)
def test_the_model_reads_and_tells_what_it_should(tokens: TokenFile, run: RunConfig) -> None:
    """Nothing that is to be told is read: changing it moves neither inputs nor, before its place, the decoder's."""
    layout, row = run.data.layout, examples.training_rows(tokens, run, np.arange(2))
    shape = program_shape(run, STEPWISE, (1, 1, 1, 1))
    graph = nnx.split(nnx.eval_shape(lambda: init_model(run.model, nnx.Rngs(0))))[0]
    params = build_program(run, STEPWISE)[0].init(0)["params"]
    read = jax.jit(
        lambda params, row: head_inputs(nnx.merge(graph, params), shape, row)[0], compiler_options=FAST_COMPILE
    )

    def moved(column: int) -> np.ndarray:
        """Which of the scored positions of both windows a change of one token of the first moves."""
        changed = row.copy()
        changed[0, column] = (row[0, column] + 1) % 250
        return np.abs(np.asarray(read(params, changed)) - np.asarray(read(params, row))).max(axis=2) > 1e-6

    values = layout.columns - layout.scored
    for at in (0, 2, layout.scored - 1):
        expected = np.zeros((2, layout.scored), bool)
        expected[0, at + 1 :] = run.data.objective == "span"  # a decoder reads what it has told, an encoder does not
        np.testing.assert_array_equal(moved(values + at), expected)
    assert moved(1)[0].all() and not moved(1)[1].any()


def test_the_first_loss_is_ln_v(store: Store, run: RunConfig) -> None:
    train_run(override(run, ["steps=1", "schedule.warmup=0"]), store)
    [first] = losses(store, override(run, ["steps=1", "schedule.warmup=0"]))
    assert first == pytest.approx(math.log(run.model.vocab), abs=0.1)


def test_a_run_learns_and_its_record_holds_the_facts(store: Store, run: RunConfig) -> None:
    longer = override(run, ["steps=60"])
    record = train_run(longer, store)
    curve = losses(store, longer)
    assert record.status == "done" and record.final["loss"] < curve[0] - 1 and curve[-9:].mean() < curve[0] - 1
    assert record.final["tokens"] == longer.tokens == 60 * 8 * 32  # of the windows, however they are cut up
    assert record.flops == counts.run_flops(longer)


@pytest.mark.parametrize("run", [pytest.param("span", marks=pytest.mark.slow), "masked"], indirect=True)
@pytest.mark.parametrize("after", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_resume_equals_uninterrupted(store: Store, second_store: Store, run: RunConfig, after: int) -> None:
    train_run(run, store)
    assert train_run(run, second_store, stop_after=after).status == "stopped"
    assert train_run(run, second_store).about["started_from"] == {"step": after, "shared": False}
    assert_same_run(store, second_store, run)


@pytest.mark.parametrize("run", [pytest.param("span", marks=pytest.mark.slow), "masked"], indirect=True)
def test_branch_equals_scratch(store: Store, second_store: Store, run: RunConfig) -> None:
    long = override(run, ["steps=40"])
    train_run(run, store)
    assert train_run(long, store).about["started_from"] == {"step": 16, "shared": True}
    train_run(long, second_store)
    assert_same_run(store, second_store, long)


@pytest.mark.slow
@pytest.mark.parametrize("run", ["span", "masked"], indirect=True)
def test_killed_anywhere_it_goes_on_where_it_was_saved(
    store: Store, second_store: Store, run: RunConfig, tmp_path: Path
) -> None:
    config = override(run, ["steps=400", "eval.every=0"])
    child = start_trainer(config, store, tmp_path, "--place", "save_seconds=0")
    wait_for_event(child, "step")
    wait_until(lambda: any(store.run_dir(run_id(config)).glob("checkpoints/*/manifest.json")), 60)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert train_run(config, store).about["started_from"]["step"] > 0
    train_run(config, second_store)
    assert_same_run(store, second_store, config)


MESHES = [{"data": 2, "fsdp": 2, "tensor": 2}, {"data": 8}, {"fsdp": 4}, {"tensor": 4}]
WAYS = [{"scan": True, "remat": "full"}, {"remat": "dots"}, *MESHES[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("run", ["span", "masked"], indirect=True)
@pytest.mark.parametrize("way", [MESHES[0], *WAYS], ids=str)
def test_meshes_scans_and_recomputing_agree(store: Store, second_store: Store, run: RunConfig, way: dict) -> None:
    config = override(run, ["model.heads=4", "steps=6", "schedule.warmup=1"])
    train_run(config, store)
    train_run(config, second_store, dataclasses.replace(STEPWISE, **way))
    np.testing.assert_allclose(losses(second_store, config), losses(store, config), atol=1e-4)


@pytest.mark.slow
def test_a_packs_figures_are_those_of_the_runs_alone(store: Store, second_store: Store, run: RunConfig) -> None:
    configs = [run, override(run, ["optimizer.lr=0.005", "seed=1"])]
    train_pack(configs, store, STEPWISE, sweep=None, emit=lambda event: None, should_stop=lambda: False)
    for config in configs:
        train_run(config, second_store)
        np.testing.assert_allclose(losses(store, config), losses(second_store, config), atol=1e-5)


@pytest.mark.parametrize("run", [pytest.param("span", marks=pytest.mark.slow), "masked"], indirect=True)
def test_each_host_reads_its_own_rows(store: Store, tokens: TokenFile, run: RunConfig) -> None:
    compiled, _ = build_program(run, Placement(data=4))
    path = find_tokens(store.token_files, run.data.tokens)
    under_way = Run(
        run, store, STEPWISE, compiled, open_tokens(path), lambda event: None, lambda: False, np.zeros((0, 0))
    )
    np.testing.assert_array_equal(
        steps.read_batch(under_way, 3), examples.training_rows(tokens, run, np.arange(24, 32))
    )


def test_flops_are_the_products_of_the_program(run: RunConfig) -> None:
    """Of the real step's loss: encoder, decoder and head each over the tokens that they read."""
    shape = program_shape(run, STEPWISE, (1, 1, 1, 1))
    program_of = program_functions(shape)
    params = jax.eval_shape(program_of.init, jax.ShapeDtypeStruct((), jnp.uint32))["params"]
    rows = jax.ShapeDtypeStruct((run.batch, run.data.layout.columns), jnp.int32)
    counted = counts.forward_flops(run.model, run.data.length, run.batch, run.data.layout)
    assert dot_flops(program_of.evaluate, params, rows) == sum(
        flops for part, flops in counted.items() if part != "attention_causal"
    )
    a_step = counts.run_flops(run, 1)
    assert a_step["head_forward"] == run.batch * run.data.layout.scored * 2 * 16 * 272
    assert a_step["total"] == 3 * sum(flops for part, flops in counted.items() if part != "attention_full")


def test_parameters_and_flops_are_counted_without_jax(run: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(dumps(run))
    done = command("scaling", "count", path, "--json", PYTHONPROFILEIMPORTTIME="1")
    result = json.loads(done.stdout)
    assert result["flops"] == counts.run_flops(run) and "| jax\n" not in done.stderr
    program_of = program_functions(program_shape(run, STEPWISE, (1, 1, 1, 1)))
    parameters = jax.eval_shape(program_of.init, jax.ShapeDtypeStruct((), jnp.uint32))["params"]
    assert result["params"]["total"] == sum(leaf.size for leaf in jax.tree.leaves(parameters))


def test_a_sweep_plans_them(run: RunConfig, tokens: TokenFile) -> None:
    """N, D and C before anything runs; other rates of corruption are other shapes, other learning rates are not."""
    changes = ["seed=0", "optimizer.lr=0.02", "data.corrupted=0.3"]
    corpus = Corpus(name="own", tokens=run.data.tokens, vocab=tokens.vocab, train=tokens.counts[0])
    planned = plan_sweep([override(run, [change]) for change in changes], corpus)
    assert len({step_shape(planned_run.config) for planned_run in planned.runs}) == 2
    for planned_run in planned.runs:
        assert counts.parameters(run.model)["total"] == planned_run.N and run.tokens == planned_run.D
        assert counts.run_flops(planned_run.config)["total"] == planned_run.C
    by_share = {planned_run.config.data.corrupted: planned_run.C for planned_run in planned.runs}
    assert by_share[0.3] > by_share[0.15]  # more is told


@pytest.mark.parametrize("words", [["generate", "RUN", "--prompt", "a"], ["coordinates", "CONFIG"]], ids=" ".join)
def test_commands_for_decoders_refuse_other_models(
    store: Store, run: RunConfig, tmp_path: Path, words: list[str]
) -> None:
    path = tmp_path / "run.json"
    path.write_text(dumps(run))
    if words[0] == "generate":
        store.write(Record(run_id=run_id(run), config=run, status="stopped"))
        words = [*words, "--store", str(store.root)]
    named = {"RUN": run_id(run)[:12], "CONFIG": path}
    done = call_command("scaling", *(named.get(argument, argument) for argument in words))
    assert done.returncode == 2 and "decoder" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_no_room_for_the_special_tokens_is_refused_in_one_line(tokens: TokenFile, run: RunConfig) -> None:
    minimum = tokens.vocab + run.data.layout.specials
    examples.check_run(tokens, override(run, [f"model.vocab={minimum}"]))
    with pytest.raises(CorpusError, match=f"set it to at least {minimum}$"):
        examples.check_run(tokens, override(run, [f"model.vocab={minimum - 1}"]))


@pytest.mark.parametrize(
    ("objective", "assignment", "says"),
    [
        ("span", "data.objective=masked", "masked trains 'encoder'"),
        ("span", "data.objective=prefix", "must be one of causal, span, masked"),
        ("span", "data.document_end=256", "must be null unless causal"),
        ("span", "data.corrupted=1.0", "must be between 0 and 1"),
        ("span", "data.corrupted=0.9", "lower corrupted or raise span_length"),
        ("span", "data.span_length=0.5", "must be 1 or more"),
        ("masked", "data.span_length=2", "used only by span"),
        ("masked", "model.vocab=1", "must be more than the 1 tokens"),
    ],
)
def test_an_objective_that_cannot_be_says_why(tiny: RunConfig, objective: str, assignment: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(of_objective(tiny, objective), [assignment])
    assert says in str(error.value) and "\n" not in str(error.value)


def test_rates_are_identity(run: RunConfig) -> None:
    changed = [override(run, ["data.corrupted=0.3"])]
    if run.data.objective == "span":
        changed.append(override(run, ["data.span_length=2"]))
    assert len({run_id(config) for config in (run, *changed)}) == len(changed) + 1


def test_scores_start_alike_whatever_they_are_divided_by() -> None:
    """T5 divides by nothing and draws queries the smaller (Raffel 2020's published code)."""
    from scaling.models.encoder_decoder import Attention

    draws = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    for scale in (None, 1.0):
        built = Attention(dataclasses.replace(ENCODER, width=64, heads=1, attention_scale=scale), rngs=nnx.Rngs(0))
        scores = (draws @ built.q_DH[...]) @ (draws @ built.k_DH[...]).T * built.scale
        assert 0.7 < float(jnp.std(scores)) < 1.4
