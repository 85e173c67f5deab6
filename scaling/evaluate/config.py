"""What is asked of a model, and when: checked before anything is loaded. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.validation import ValidatedConfig, require


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ValidatedConfig):
    """What is asked. shots: each in turn; none: as a task has it by itself. samples: answers beside the greedy one.

    steps: training steps after which it is asked too, beside the end. None of it changes a run's numbers.
    """

    tasks: tuple[str, ...]
    shots: tuple[int, ...] = ()
    items: int = 200
    seed: int = 0
    samples: int = 0
    temperature: float = 1.0
    tokens: str | None = None  # of perplexity: a token file, or a corpus of the store; None: the run's own
    steps: tuple[int, ...] = ()

    def check(self) -> None:
        require(bool(self.tasks), "--tasks: name at least one, as addition-3,recall-4,perplexity or a file FILE.jsonl")
        require(self.items >= 1, f"--items {self.items}: must be 1 or more")
        require(self.samples >= 0, f"--samples {self.samples}: must be 0 or more")
        require(self.temperature > 0, f"--temperature {self.temperature}: must be above 0")
        require(all(step > 0 for step in self.steps), "--task-steps: must be 1 or more: steps are counted once done")


def parse_integers(option: str, text: str) -> tuple[int, ...]:
    """`0,1,2` as whole numbers, each once."""
    parts = [part for part in text.split(",") if part]
    require(all(part.isdecimal() for part in parts), f"{option} {text}: must be whole numbers, as 0,1,2,4")
    return tuple(dict.fromkeys(map(int, parts)))
