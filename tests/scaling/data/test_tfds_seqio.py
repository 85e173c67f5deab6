"""A real TFDS data set and real seqio tasks, built on disk here: every token of every document arrives.

TensorFlow lives in child processes only.
"""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scaling.data.corpus import is_validation
from scaling.data.tokens import TokenFile, open_tokens
from tests.support.commands import ROOT

pytestmark = pytest.mark.slow

TEXTS = """
TEXTS = [f"document {i} β😀\\n\\t ".encode() * (1 + i % 5) for i in range(300)]
TEXTS[7] = b"far longer than any window: " * 5000
TEXTS[9] = b""
TEXTS[11] = TEXTS[10]
FEW = TEXTS[:60]
"""

BUILD = f"""
import sys
import numpy as np
import tensorflow_datasets as tfds
{TEXTS}
class Many(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    texts = TEXTS

    def _info(self):
        features = {{"text": tfds.features.Text(), "other": tfds.features.Text(), "number": np.int64}}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, _):
        return {{"train": self._generate_examples(self.texts), "test": self._generate_examples(self.texts[:120])}}

    def _generate_examples(self, texts):
        for i, text in enumerate(texts):
            yield i, {{"text": text, "other": b"caf\\xe9 " + text, "number": i}}

class Few(Many):
    texts = FEW

class Sharded(Many):
    texts = TEXTS

class Own(Many):
    def _split_generators(self, _):
        return {{"train": self._generate_examples(TEXTS), "validation": self._generate_examples(FEW)}}

for made in (Many, Few, Own):
    made(data_dir=sys.argv[1]).download_and_prepare()
shards = tfds.download.DownloadConfig(num_shards=4)
Sharded(data_dir=sys.argv[1]).download_and_prepare(download_config=shards)
"""

TASKS = f"""
import seqio
import tensorflow as tf
{TEXTS}
BYTES = seqio.ByteVocabulary()

def fails(dataset):
    raise ValueError("this task\\nfails")

def add(name, texts, preprocessors, vocabulary=BYTES, eos=True, validation=()):
    def read(split, shuffle_files=False, seed=None):
        return tf.data.Dataset.from_tensor_slices({{"targets": texts if split == "train" else validation}})

    source = seqio.FunctionDataSource(read, splits=["train", "validation"] if validation else ["train"])
    features = {{"targets": seqio.Feature(vocabulary, add_eos=eos)}}
    seqio.TaskRegistry.add(name, source=source, preprocessors=preprocessors, output_features=features)

tokenize = seqio.preprocessors.tokenize
add("ended", TEXTS, [tokenize, seqio.preprocessors.append_eos_after_trim])
add("plain", TEXTS, [tokenize], eos=False)
add("few", FEW, [tokenize, seqio.preprocessors.append_eos])
add("own", TEXTS, [tokenize, seqio.preprocessors.append_eos], validation=FEW)
add("failing", TEXTS, [fails])
add("endless", TEXTS, [], seqio.PassThroughVocabulary(300))
seqio.MixtureRegistry.add("mixed", [("ended", 3.0), ("few", 1.0)])
"""

PREPARE = """
import json, sys
from pathlib import Path
from scaling.data.prepare import prepare
print(json.dumps([str(prepare(spec, Path(sys.argv[1]))) for spec in sys.argv[2:]]))
"""

NOTES = "import os; os.dup2(1, 2)" + PREPARE

END = "end of this one"
REFUSE = f"""
import os, sys
os.dup2(1, 2)  # all that the process says, TensorFlow's libraries included
from scaling.__main__ import main
for spec in sys.argv[2:]:
    status = main(["prepare", spec, "--store", sys.argv[1]])
    print(status, {END!r}, end="", file=sys.stderr, flush=True)
"""

names: dict[str, list[bytes]] = {}
exec(TEXTS, names)
MANY, FEW = names["TEXTS"], names["FEW"]


def child(code: str, *words: object, path: Path = ROOT) -> str:
    env = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join([str(ROOT), str(path)])}
    line = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def prepared(folder: Path, *specs: str) -> list[TokenFile]:
    """Several corpora by one process, which pays for TensorFlow once."""
    return [
        open_tokens(Path(p)) for p in json.loads(child(PREPARE, folder, *specs, path=folder.parent).splitlines()[-1])
    ]


def documents(tokens: TokenFile, offset: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Both splits as documents; a ByteVocabulary's bytes begin at `offset`."""
    values = []
    for split in (tokens.train, tokens.validation):
        parts = np.split(split, np.flatnonzero(split == tokens.eod) + 1)
        assert not len(parts.pop()), "the last document is ended"
        values.append([(part[:-1] - offset).astype(np.uint8).tobytes() for part in parts])
    return values[0], values[1]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    child(BUILD, folder / "sets")
    (folder / "my_tasks.py").write_text(TASKS)
    return folder


def test_every_byte_of_every_document_of_a_tfds_data_set_arrives_once(disk: Path) -> None:
    at = f"data_dir={disk / 'sets'}"
    large, test, few_runs = prepared(disk / "tokens", f"tfds:many,{at}", f"tfds:many,split=test,{at}", f"tfds:few,{at}")
    train, validation = documents(large)
    texts = [text for text in MANY if text]
    assert Counter(train) == Counter(text for text in texts if not is_validation(text))
    assert Counter(validation) == Counter(text for text in texts if is_validation(text))
    assert large.documents == len(texts) and sum(large.counts) == sum(len(text) + 1 for text in texts)
    assert Counter(itertools.chain(*documents(test))) == Counter(text for text in MANY[:120] if text)
    whole = np.concatenate([few_runs.train, few_runs.validation])
    parts = [p[:-1].astype(np.uint8).tobytes() for p in np.split(whole, np.flatnonzero(whole == 256) + 1)[:-1]]
    assert Counter(parts) == Counter(text for text in FEW if text), "few documents: the end is held out, nothing lost"
    assert few_runs.counts[1] == len(whole) // 20


def test_the_files_of_a_tfds_data_set_are_read_one_after_the_other_and_slices_are_splits(disk: Path) -> None:
    at = f"data_dir={disk / 'sets'}"
    shards = [f"tfds:sharded,split=train[{i}shard],{at}" for i in range(4)]
    slices = [f"tfds:sharded,split={name},{at}" for name in ("train[:20%]", "test+train")]
    whole, head, both, *parts = prepared(disk / "tokens", f"tfds:sharded,{at}", *slices, *shards)

    def stream(tokens: TokenFile) -> bytes:
        return np.concatenate([tokens.train, tokens.validation]).tobytes()

    in_order = [d for part in parts for d in bytes_between(stream(part)) if not is_validation(d)]
    assert documents(whole)[0] == in_order and len(in_order) > 250, "few documents a shard: each is in its own order"
    assert head.documents == sum(1 for d in bytes_between(stream(head))) == 60
    assert both.documents == whole.documents + sum(1 for text in MANY[:120] if text)


def bytes_between(stream: bytes) -> list[bytes]:
    """The documents of a stream of 16-bit tokens."""
    tokens = np.frombuffer(stream, "<u2")
    return [part[:-1].astype(np.uint8).tobytes() for part in np.split(tokens, np.flatnonzero(tokens == 256) + 1)[:-1]]


def test_every_token_of_every_document_of_a_seqio_task_arrives_once(disk: Path) -> None:
    specs = [f"seqio:{name},module=my_tasks" for name in ("ended", "plain", "few", "mixed")]
    finished, plain, few_runs, mixed = prepared(disk / "tokens", *specs)
    offset, eod = 3, 1  # ByteVocabulary: padding, end, unknown, then the bytes
    for tokens, texts in ((finished, MANY), (plain, [text for text in MANY if text])):
        assert (tokens.eod, tokens.vocab, tokens.documents) == (eod, 259, len(texts))
        train, validation = documents(tokens, offset)
        assert Counter(train + validation) == Counter(texts)
        assert sum(tokens.counts) == sum(len(text) + 1 for text in texts)
        assert validation and not set(train) & set(validation)
    assert finished.tokenizer == "seqio:ended"
    mixture = Counter(itertools.chain(*documents(mixed, offset)))
    assert mixture <= Counter(MANY + FEW) and len(mixture) > 60, "at its rates, each document at most once a task"
    whole = np.concatenate([few_runs.train, few_runs.validation])
    assert len(whole) == sum(len(text) + 1 for text in FEW) and few_runs.counts[1] == len(whole) // 20
    second = prepared(disk / "again", specs[3], specs[0])
    assert [t.content_hash for t in second] == [mixed.content_hash, finished.content_hash], (
        "a mixture mixes the same way"
    )


def test_a_validation_split_of_its_own_is_held_out_and_said(disk: Path) -> None:
    own = ["seqio:own,module=my_tasks", f"tfds:own,data_dir={disk / 'sets'}"]
    files = prepared(disk / "tokens", *own, *(f"{spec},validation=none" for spec in own))
    for tokens, offset, texts in ((files[0], 3, lambda text: True), (files[1], 0, bool)):
        train, validation = documents(tokens, offset)
        assert Counter(train) == Counter(filter(texts, MANY)) and Counter(validation) == Counter(filter(texts, FEW))
        assert tokens.documents == len(train) + len(validation)
    for tokens, offset in ((files[2], 3), (files[3], 0)):
        train, validation = documents(tokens, offset)
        assert len(train) + len(validation) <= len(MANY) and not set(train) & set(validation)
    output = child(NOTES, disk / "again", *own, path=disk)
    assert output.count("the held-out text is its own split validation; validation=none holds out part") == 2
    (test,) = prepared(disk / "tokens", f"tfds:many,data_dir={disk / 'sets'},validation=test")
    assert Counter(documents(test)[1]) == Counter(filter(None, MANY[:120]))


def test_what_a_library_does_not_have_is_one_line_that_lists_what_it_has(disk: Path) -> None:
    sets, tasks = f"data_dir={disk / 'sets'}", "module=my_tasks"
    expected = {
        f"tfds:nosuch,{sets}": "Dataset nosuch not found.",
        f"tfds:many,{sets},feature=body": "no feature 'body': must be one of",
        f"tfds:many,{sets},split=dev": "no split 'dev': must be one of test, train, or a slice of one",
        f"tfds:many,{sets},split=train[:x]": "no split 'train[:x]': must be one of test, train, or a slice of one",
        f"tfds:many,{sets},feature=number": "feature 'number' is not text: choose another with feature=",
        f"tfds:few,{sets},feature=other": "is not UTF-8 at byte offset 3",
        "seqio:nosuch": "unknown task (name the module that registers it with module=): no task is registered",
        f"seqio:nosuch,{tasks}": "unknown task: must be one of ended, endless, failing, few, mixed, own, plain",
        f"seqio:own,{tasks},validation=test": "validation=test: must be none (held out by hash) or one of validation",
        f"tfds:many,{sets},validation=train": "validation=train: must be none (held out by hash) or one of test",
        f"seqio:ended,{tasks},split=test": "no split 'test': must be one of train",
        f"seqio:ended,{tasks},feature=inputs": "no feature 'inputs': must be one of targets",
        f"seqio:failing,{tasks}": "ValueError: this task fails",
        f"seqio:endless,{tasks}": "its vocabulary has no end-of-sequence token",
        "seqio:ended,module=no_such_module": "module no_such_module: ModuleNotFoundError: No module named",
    }
    text = child(REFUSE, disk / "store", *expected, path=disk)
    for (spec, line), result in zip(expected.items(), text.split(END)[:-1], strict=True):
        assert result.startswith(f"scaling prepare: corpus {spec.partition(',')[0]}") and line in result
        assert result.endswith("\n2 ") and result.count("\n") == 1, result
    assert not list((disk / "store").rglob("*.tokens"))


def test_a_prepared_data_set_trains_without_tensorflow(disk: Path) -> None:
    (tokens,) = prepared(disk / "tokens", "seqio:ended,module=my_tasks")
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "import scaling.training.loop\n"
        "from scaling.data import tokens, windows\n"
        "file = tokens.open_tokens(Path(sys.argv[1]))\n"
        "windows.training_windows(file, seed=0, length=64, rows=np.arange(4))\n"
        "print(sorted(m for m in ('tensorflow', 'tensorflow_datasets', 'seqio') if m in sys.modules))\n"
    )
    assert child(code, tokens.path).strip() == "[]"
