"""Options of the lm-evaluation-harness, checked before anything is loaded. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.options import option
from scaling.config.validation import ValidatedConfig, require
from scaling.evaluation.config import parse_names

CODE_TASKS = ("humaneval",)  # answers are programs; our own YAML files are used for them, which do not run programs


@dataclass(frozen=True, kw_only=True)
class HarnessOptions(ValidatedConfig):
    """Which benchmarks a model is evaluated on, and how.

    Attributes:
        shots: Solved examples before each question; None for the benchmark's own number.
        samples: Sampled programs in addition to the greedy one.
        temperature: Temperature of the samples.
        seed: Seed of shots and samples.
        skip_bad: Leave bad lines of the files out.
    """

    benchmarks: tuple[str, ...] = option(
        (),
        "benchmarks, such as mmlu, gpqa_diamond_zeroshot, gsm8k",
        metavar="a,b",
        parse=parse_names,
        flag="--harness",
    )
    folder: str | None = option(
        None, "read the benchmarks from DIR/TASK.jsonl instead of the hub", metavar="DIR", flag="--harness-path"
    )
    limit: int = option(0, "questions per benchmark (default 0: all)", metavar="M")
    run_code: bool = option(False, "run the programs that the model writes, in a sandbox (Linux, bubblewrap)")
    unsafe_run_code: bool = option(False, "run them without a sandbox, with your rights: only on a disposable machine")
    shots: int | None = None
    samples: int = 0
    temperature: float = 0.8
    seed: int = 0
    skip_bad: bool = False

    @property
    def runs_code(self) -> bool:
        """Whether programs that the model writes are run."""
        return self.run_code or self.unsafe_run_code

    def check(self) -> None:
        """Raises ConfigError where a value is out of range."""
        require(bool(self.benchmarks), "--harness: name at least one benchmark, such as mmlu,gsm8k")
        require(self.limit >= 0, f"--limit {self.limit}: must be 0 (all) or more")
        require(self.shots is None or self.shots >= 0, f"--shots {self.shots}: must be 0 or more")
        require(self.samples >= 0, f"--samples {self.samples}: must be 0 or more")
        require(self.temperature > 0, f"--temperature {self.temperature}: must be above 0")
