"""One case: a damage of a file, and a command; and the stores it is compared with."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.damage import outcome
from tests.damage.commands import Command, command
from tests.damage.damages import Damage, damage, deleted
from tests.damage.files import FILE_KINDS, STORE_ENTRIES, TRAINED_KINDS, FileKind, choose_file, contents, run_of
from tests.damage.outcome import Observation, Outcome
from tests.damage.process import DRAWING, LIBRARIES, TRAINING, Request, Server

KINDS = {kind.name: kind for kind in (*FILE_KINDS, *TRAINED_KINDS)}
FAILED, BAD_INPUT = 1, 2
NOT_NAMED = ("deleted", "dangling-link", "emptied-folder", "renamed")  # nothing is left that could be named
NO_FOLDER = ("file-in-place", "link-to-itself")  # a folder of the user's results may have other files beside it
CUT_OFF = ("emptied", "truncated", "zeroed")  # what a growing file may look like after a power failure
INTACT = ("missing-field", "older-record", "older-table")  # what a command reads without a word, it may write again
WHOLE = ("emptied", "zeroed", "random-bytes", "directory", "unreadable", "pipe")  # nothing can be read from the file
SECONDS_AT_LEAST, SECONDS_PER_COST = 40.0, 12.0  # time limit of a command; machines of tests are shared


@dataclass(frozen=True)
class Case:
    """A case; `seed` chooses the file and the variant of the damage. Its text is KIND:DAMAGE:COMMAND:SEED."""

    kind: str
    damage: str
    command: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.damage}:{self.command}:{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Case:
        kind, damage_name, command_name, seed = text.split(":")
        return cls(kind, damage_name, command_name, int(seed))


@dataclass
class Bench:
    """Runs cases in a working folder, with the undamaged files in another.

    Attributes:
        origin: Folder of the undamaged files.
        folder: Working folder; made again for each case.
        servers: Servers, by whether they have JAX.
        references: Observations of commands without damage, by command and what was removed.
        observation: Observation of the last case.
    """

    origin: Path
    folder: Path
    servers: dict[bool, Server] = field(default_factory=dict)
    references: dict[tuple[str, str, str], Observation] = field(default_factory=dict)
    observation: Observation | None = None

    def run(self, case: Case) -> Outcome:
        """Runs a case and judges it."""
        kind, change, chosen = KINDS[case.kind], damage(case.damage), command(case.command)
        path, detail = self.damaged(kind, change, case.seed)
        run = run_of(path, self.folder)
        before = contents(self.folder)
        self.observation = observation = self.observe(chosen, run)
        moved = self.misplaced(case, path, before)
        relative = path.relative_to(self.folder)
        words = {relative.as_posix(), path.name, *([run[:12], relative.parent.as_posix()] if run else [])}
        if kind.format == "folder" and detail:
            words.add(f"/{detail}")  # the folder's other name
        if kind.format == "store":
            words.add("WORK/store")
        folders = (word.replace("STORE/", "store/") for word in chosen.words if word.startswith("STORE/"))
        words |= {folder for folder in folders if relative.is_relative_to(folder)}  # which the command line names
        words.add(f"'{path.stem}'")  # a sweep
        judged = self.judge(case, relative, run, words, observation)
        is_intact = case.damage in INTACT and not any(outcome.names(line, words) for line in observation.errors)
        if moved and observation.status is not None and not (is_intact and moved.kind == outcome.LOST):
            judged = moved
        return Outcome(judged.kind, f"{relative.as_posix()}: {detail or case.damage}: {judged.detail}")

    def damaged(self, kind: FileKind, change: Damage, seed: int) -> tuple[Path, str | None]:
        """Makes the working folder and damages a file in it; returns the file and what was changed."""
        self.reset()
        if kind.name == "index":  # a cache that is current: of these files, not of those that they were copied from
            self.observe(command("table-index"), None)
            deleted(self.folder / "out" / "table.csv", Random())
        random = Random(zlib.crc32(f"{kind.name}:{change.name}:{seed}".encode()))
        path = choose_file(kind, self.folder, random)
        modified, detail = path.lstat().st_mtime, change.change(path, random)
        if kind.grows and path.is_file():
            os.utime(path, (modified, modified))  # status shows when a run last made progress
        return path, detail

    def reset(self) -> None:
        """Makes the working folder again."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.origin, self.folder, symlinks=True)
        for name in ("out", "cwd", "temporary"):
            (self.folder / name).mkdir(exist_ok=True)

    def observe(self, chosen: Command, run: str | None) -> Observation:
        """Runs a command in the working folder."""
        some_run = run or min(path.name for path in (self.origin / "store" / "runs").iterdir())
        folders = {name: str(self.folder / name.lower()) for name in ("STORE", "INPUT", "OUT")}
        words = tuple(self.replace_placeholders(word, folders, some_run) for word in chosen.words)
        limit = max(SECONDS_AT_LEAST, SECONDS_PER_COST * chosen.cost)
        request = Request(words, str(self.folder / "cwd"), limit, chosen.training, chosen.index)
        runs = sorted(path.name for path in (self.origin / "store" / "runs").iterdir()) if chosen.writes else ()
        return outcome.observe(self.server(chosen.training).run(request), self.folder, runs)

    @staticmethod
    def replace_placeholders(argument: str, folders: dict[str, str], run: str) -> str:
        for name, folder in folders.items():
            if argument == name or argument.startswith(f"{name}/"):
                argument = folder + argument[len(name) :]
        return argument.replace("RUN", run)

    def server(self, training: bool) -> Server:
        """Returns the server of a kind, started when it is first needed."""
        if training not in self.servers:
            self.servers[training] = Server(*(TRAINING if training else (*LIBRARIES, *DRAWING)))
        return self.servers[training]

    def reference(self, chosen: Command, run: str | None, removed: str = "") -> Observation:
        """Returns what a command does on the undamaged files, or on those without a file or folder."""
        key = (chosen.name, removed, (run or "") if "RUN" in " ".join(chosen.words) else "")
        if key not in self.references:
            self.reset()
            if removed:
                path = self.folder / removed
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.references[key] = self.observe(chosen, run)
        return self.references[key]

    def misplaced(self, case: Case, path: Path, before: dict[str, str]) -> Outcome | None:
        """Returns the fault of files that a command has written where it should not, or whose content is gone."""
        kind, chosen = KINDS[case.kind], command(case.command)
        after, is_dangling = contents(self.folder), case.damage == "dangling-link"
        new = {name for name in after.keys() - before.keys() if not name.startswith(("out/", "temporary/"))}
        entries = {name.split("/")[1] for name in new if name.startswith("store/")}
        outside = {name for name in new if not name.startswith("store/") and name not in ("stdout", "stderr", "store")}
        outside |= {name for name in entries if name not in STORE_ENTRIES}
        if outside:
            return Outcome(outcome.OUTSIDE, ", ".join(sorted(outside)))
        kept, replaceable = set(after.values()), {path.relative_to(self.folder).as_posix()} if kind.is_cache else set()
        replaceable |= {"store/index.parquet"} if chosen.index else set()
        replaceable |= {path.relative_to(self.folder).as_posix()} if kind.name in chosen.rewrites else set()
        gone = {name for name, state in before.items() if state not in kept and name not in replaceable}
        changed = {name for name in before if name.startswith("store/") and after.get(name) != before[name]}
        if not chosen.writes and not chosen.index and not kind.is_cache:
            gone |= {name for name in changed | new if name.startswith("store/")}
        if kind.name in chosen.rewrites:
            place = path if kind.format == "store" else path.parent
            gone = {name for name in gone if not name.startswith(place.relative_to(self.folder).as_posix())}
        if chosen.writes:
            gone &= {path.relative_to(self.folder).as_posix()}
            gone = {name for name in gone if not (is_dangling and after.get(name))}  # a new file: the link held nothing
        gone = {name for name in gone if name not in ("stdout", "stderr") and not name.endswith(".verified")}
        return Outcome(outcome.LOST, ", ".join(sorted(gone))) if gone else None

    def judge(
        self, case: Case, path: Path, run: str | None, words: Collection[str], observation: Observation
    ) -> Outcome:
        """Judges what a command did: see `outcome`.

        Args:
            case: The case.
            path: The damaged file, relative to the working folder.
            run: Its run.
            words: Names of the damaged file.
            observation: What the command did.
        """
        kind, chosen = KINDS[case.kind], command(case.command)
        if (
            observation.status == BAD_INPUT
            and not kind.of_run
            and len(observation.errors) == 1
            and outcome.names(observation.errors[0], words)
        ):
            return Outcome(outcome.REFUSED, observation.errors[0])
        baseline = self.reference(chosen, run)
        fault, extra = outcome.judge_errors(observation, baseline.errors, words)
        if fault:
            return fault
        named = any(outcome.names(line, words) for line in (*extra, *observation.results[""].splitlines()))
        is_same, noise = self.same(observation, baseline, None, chosen), self.noise(chosen, extra, words)
        if is_same and not noise:
            return Outcome(outcome.REPAIRED, extra[-1]) if chosen.writes and named else Outcome(outcome.UNCHANGED)
        details = [line for line in extra if not line.startswith(outcome.SUMMARY)]
        fails_alone = chosen.writes and (len(extra) == 1 or all(outcome.names(line, words) for line in details))
        statuses = (BAD_INPUT, FAILED) if fails_alone else (BAD_INPUT,)
        is_refused = observation.status in statuses and named and extra
        is_rest_done = chosen.writes and self.same_results(observation, baseline, run, chosen)
        if is_refused and (chosen.one_run or not kind.of_run or is_rest_done):
            return Outcome(outcome.REFUSED, extra[-1])
        if judged := self.judge_exclusion(case, path, run, words, observation, extra):
            return judged
        if kind.format == "store" and named and not noise and observation.status == baseline.status:
            return Outcome(outcome.LEFT_OUT, extra[-1])  # every run of the store, each of which is named
        if noise and (is_same or observation.status == baseline.status):
            return Outcome(outcome.NOISE, noise)
        is_input = kind.is_input or f"STORE/{path.relative_to('store')}".replace(run or "RUN", "RUN") in chosen.words
        if (is_input or kind.grows) and len(extra) <= 1 and case.damage not in WHOLE:
            return Outcome(outcome.AS_GIVEN, "".join(extra))
        if observation.status == BAD_INPUT:
            return Outcome(outcome.STOPS if is_refused else outcome.UNNAMED, "\n".join(extra))
        if observation.status != baseline.status:
            return Outcome(outcome.STATUS, f"exit status {observation.status}: " + "\n".join(extra)[-600:])
        return Outcome(outcome.SILENT if not named else outcome.UNNAMED, self.difference(observation, baseline))

    def judge_exclusion(
        self,
        case: Case,
        path: Path,
        run: str | None,
        words: Collection[str],
        observation: Observation,
        extra: Collection[str],
    ) -> Outcome | None:
        """Returns the outcome if the results are those without the damaged file or its run, else None.

        Args:
            case: The case.
            path: The damaged file, relative to the working folder.
            run: Its run.
            words: Names of the damaged file.
            observation: What the command did.
            extra: Lines of standard error that are not there without the damage.
        """
        kind, chosen = KINDS[case.kind], command(case.command)
        for removed in self.removals(path, run):
            without = self.reference(chosen, run, removed)
            new = [line for line in extra if line not in without.errors]
            if not self.same(observation, without, run, chosen) or self.noise(chosen, new, words):
                continue
            if any(outcome.names(line, words) for line in (*extra, *observation.results[""].splitlines())):
                return Outcome(outcome.LEFT_OUT, " ".join(new))
            is_deleted = case.damage in NOT_NAMED or (kind.grows and case.damage in CUT_OFF)
            is_deleted |= kind.is_input and case.damage in NO_FOLDER
            return Outcome(outcome.ABSENT if is_deleted else outcome.UNNAMED, "as without it, and not named")
        return None

    @staticmethod
    def noise(chosen: Command, extra: Collection[str], words: Collection[str]) -> str:
        """Returns the lines of standard error that do not name the damaged file; training reports progress there."""
        return "" if chosen.writes else "\n".join(line for line in extra if not outcome.names(line, words))[-800:]

    def removals(self, path: Path, run: str | None) -> Iterator[str]:
        """Yields the file, and the folder of its run."""
        if (self.origin / path).exists():
            yield path.as_posix()
        if run and path.as_posix() != f"store/runs/{run}":
            yield f"store/runs/{run}"

    @staticmethod
    def same(observation: Observation, other: Observation, run: str | None, chosen: Command) -> bool:
        """Returns whether two observations have the same exit status and results."""
        return observation.status == other.status and Bench.same_results(observation, other, run, chosen)

    @staticmethod
    def same_results(observation: Observation, other: Observation, run: str | None, chosen: Command) -> bool:
        """Returns whether two observations have the same results, apart from what they say of a run."""
        rows = chosen.rows and run is not None
        first, second = (outcome.comparable(each.results, run, rows) for each in (observation, other))
        return first == second

    @staticmethod
    def difference(observation: Observation, other: Observation) -> str:
        """Returns the first difference."""
        for name, text in observation.results.items():
            before = other.results.get(name, "")
            same = next(
                (i for i, (a, b) in enumerate(zip(text, before, strict=False)) if a != b), min(len(text), len(before))
            )
            if text != before:
                start, number = max(0, same - 60), text.count("\n", 0, same) + 1
                return (
                    f"{name or 'stdout'}, line {number}: {text[start : same + 90]!r}, was {before[start : same + 90]!r}"
                )
        return f"without {', '.join(other.results.keys() - observation.results.keys())}"

    def close(self) -> None:
        """Ends the servers."""
        for server in self.servers.values():
            server.close()


@contextmanager
def open_bench(origin: Path, folder: Path) -> Iterator[Bench]:
    """Context with a bench."""
    bench = Bench(origin, folder)
    try:
        yield bench
    finally:
        bench.close()
