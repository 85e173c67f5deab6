"""Every command that the README and the pages show is one that the programs accept, and is run or marked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.harness.blocks import LANGUAGES, Block, inline_commands, read_blocks, unclosed_fences
from tests.docs.harness.commands import INSTALLERS, first_words, problems_of, split_commands
from tests.support.commands import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md"))]
BLOCKS = [block for page in PAGES for block in read_blocks(page)]


def test_programs_accept_every_command_that_a_page_shows() -> None:
    shown = [block for block in BLOCKS if block.language in ("bash", "setup")]
    problems = [problem for block in shown for problem in problems_of(block)]
    problems += [problem for page in PAGES for b in inline_commands(page) for problem in problems_of(b, in_prose=True)]
    assert not problems, "\n".join(problems)


def test_every_command_is_in_a_block_that_a_test_runs_or_that_says_what_it_needs() -> None:
    """Commands are in blocks of bash only, and those that install or build are marked."""
    hidden = [
        block.place
        for block in BLOCKS
        if block.language in ("text", "") and not block.is_output and not block.file_name
        if any(line.lstrip("$ ").startswith(("python -m ", "make ", "pip ")) for line in block.code.splitlines())
    ]
    assert not hidden, f"commands in blocks that are not bash: {hidden}"
    unmarked = [
        f"{block.place}: {sorted(first_words(block) & INSTALLERS)}"
        for block in BLOCKS
        if block.language == "bash" and not (block.needs or block.takes or block.file_name)
        if first_words(block) & INSTALLERS
    ]
    assert not unmarked, f'give the block title="Needs ..." or title="Takes ...": {unmarked}'


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_of_the_page_are_closed_and_have_a_language_and_a_known_title(page: Path) -> None:
    assert not unclosed_fences(page)
    before = None
    for block in read_blocks(page):
        assert block.language in LANGUAGES | {"store", "setup"}, f"{block.place}: {block.language or 'no language'}"
        if block.language == "bash" and block.title:
            marks = (block.needs, block.takes, block.title.startswith("Exits with "), block.file_name)
            assert any(marks), f"{block.place}: {block.title}"
        if block.is_output:
            assert before is not None and before.language in ("bash", "python"), f"{block.place}: output of what?"
        before = block


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("python -m analysis fit S --where 'C<1e21' > out.txt  # note", ["S", "--where", "C<1e21"]),
        ("X=1 python -m analysis fit S \\\n  --law kaplan-n 2>&1 | head -n 3", ["S", "--law", "kaplan-n"]),
        ("cd a && python -m analysis fit S 2> err &", ["S"]),
    ],
)
def test_commands_are_found_in_lines_of_bash(code: str, words: list[str]) -> None:
    assert ["python", "-m", "analysis", "fit", *words] in split_commands(code)


@pytest.mark.parametrize(
    "code",
    [
        "python -m analysis fits S",
        "python -m analysis fit S --lawn chinchilla",
        "python -m sweeps plan",
        "python -m scaling train run.json --store",
        "ls && python -m scaling trains | cat",
        "make no-such-target",
    ],
)
def test_a_wrong_command_is_refused(code: str) -> None:
    assert problems_of(Block(Path("page.md"), 1, "bash", "", code, 0, (0, 0)))
