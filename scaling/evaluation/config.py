"""Options of an evaluation, checked before anything is loaded. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.options import option
from scaling.config.validation import ValidatedConfig, require

PERPLEXITY, EXTRACTION = "perplexity", "extraction"  # tasks on the run's own text
ZERO_SHOT_TASKS = (PERPLEXITY, EXTRACTION)


def parse_names(flag: str, text: str) -> tuple[str, ...]:
    """Parses `a,b` as names without duplicates.

    Args:
        flag: The command-line flag.
        text: Its value.
    """
    return tuple(dict.fromkeys(name for name in text.split(",") if name))


def parse_integers(flag: str, text: str) -> tuple[int, ...]:
    """Parses `0,1,2` as non-negative integers without duplicates.

    Args:
        flag: The command-line flag.
        text: Its value.
    """
    parts = [part for part in text.split(",") if part]
    require(all(part.isdecimal() for part in parts), f"{flag} {text}: must be integers, such as 0,1,2,4")
    return tuple(dict.fromkeys(map(int, parts)))


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ValidatedConfig):
    """Which tasks a model is evaluated on, and how. These options do not affect training."""

    tasks: tuple[str, ...] = option(
        (), "tasks, such as addition-3, recall-4, perplexity, extraction, a file of your questions, FILE.jsonl: per "
        'line {"prompt", "answer"} or {"prompt", "choices", "gold"}; or a function of yours, FILE.py:NAME-3',
        metavar="a,b", parse=parse_names,
    )  # fmt: skip
    shots: tuple[int, ...] = option(
        (), "numbers of solved examples before each question, each evaluated (default: the task's own number)",
        metavar="K,...", parse=parse_integers,
    )  # fmt: skip
    items: int = option(200, "questions per task, fewer where it has fewer (default 200)", metavar="M")
    seed: int = option(0, "seed of questions, shots and samples (default 0)", flag="--task-seed")
    skip_bad: bool = option(False, "leave bad lines of a file of questions out, and list them")
    samples: int = option(0, "sampled answers in addition to the greedy one (default 0)", metavar="S")
    temperature: float = option(1.0, "temperature of the samples (default 1)")
    tokens: str | None = option(
        None, "text for perplexity: a token file, or a corpus of the store (default: the run's own text)",
        metavar="FILE|CORPUS",
    )  # fmt: skip
    steps: tuple[int, ...] = option(
        (), "also evaluate after these training steps (always after the last)", metavar="N,...", parse=parse_integers,
        flag="--task-steps",
    )  # fmt: skip

    def check(self) -> None:
        """Raises ConfigError where a value is out of range."""
        require(
            bool(self.tasks), "--tasks: name at least one, such as addition-3,recall-4,perplexity or a file FILE.jsonl"
        )
        require(self.items >= 1, f"--items {self.items}: must be 1 or more")
        require(self.samples >= 0, f"--samples {self.samples}: must be 0 or more")
        require(self.temperature > 0, f"--temperature {self.temperature}: must be above 0")
        require(all(step > 0 for step in self.steps), "--task-steps: must be 1 or more")
