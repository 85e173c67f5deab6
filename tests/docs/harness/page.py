"""All blocks of one page, in the order of the page."""

from __future__ import annotations

import os
from pathlib import Path

from tests.docs.harness import output
from tests.docs.harness.blocks import Block, read_blocks
from tests.docs.harness.figures import check_figures
from tests.docs.harness.session import open_session
from tests.docs.harness.trained_store import trained_store

RUN = ("bash", "python", "setup")  # languages of blocks that are run


def run_page(page: Path, folder: Path, *, long: bool) -> None:
    """Runs the blocks of a page in a new folder and compares their outputs.

    With UPDATE_OUTPUTS=1 an output that differs is replaced in the page by the printed one, and figures that the page
    makes and shows are copied next to it.

    Args:
        page: The page.
        folder: The folder.
        long: Whether blocks that take minutes are run; otherwise no other block may need what they make.
    """
    renewed: list[tuple[Block, str]] = []
    with open_session(folder) as session:
        printed: str | None = None  # what the block before printed, if it was run
        for block in read_blocks(page):
            if block.takes and not long:
                printed = None
                continue
            if block.language == "store":
                session.copy_store(trained_store(), block.code)
            elif block.file_name:
                session.write(block)
            elif block.is_output and printed is not None and not output.matches(block.code, printed):
                assert os.environ.get("UPDATE_OUTPUTS"), f"{block.place} shows\n{block.code}\nand is\n{printed}"
                renewed.append((block, printed))
            elif block.language in RUN:
                printed = None if block.needs else session.run(block)
        check_figures(page, session.folder, long=long)
    output.rewrite(page, renewed)
