"""scaling.evaluate.harness.config."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.validation import ValidatedConfig, require

CODE_TASKS = ("humaneval",)  # tasks whose answers are programs: always by our own YAML, which runs none


@dataclass(frozen=True, kw_only=True)
class HarnessOptions(ValidatedConfig):
    """Which tasks; path: folder of their JSON lines, None: from the hub; limit: questions of each, 0: all.

    samples: programs beside the greedy one, at a temperature; run_code: run them (scaling/evaluate/harness/sandbox.py).
    """

    tasks: tuple[str, ...]
    path: str | None = None
    limit: int = 0
    shots: int | None = None
    samples: int = 0
    temperature: float = 0.8
    run_code: bool = False
    seed: int = 0

    def check(self) -> None:
        require(bool(self.tasks), "--harness: name a task, as mmlu,gsm8k")
        require(self.limit >= 0, f"--limit {self.limit}: must be 0 (all) or more")
        require(self.shots is None or self.shots >= 0, f"--shots {self.shots}: must be 0 or more")
        require(self.samples >= 0, f"--samples {self.samples}: must be 0 or more")
        require(self.temperature > 0, f"--temperature {self.temperature}: must be above 0")
