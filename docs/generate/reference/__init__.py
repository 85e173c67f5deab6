"""Generated pages of the reference, and generated parts of pages: each is made from the code that it describes."""

from __future__ import annotations

from docs.generate.reference import commands, interface, laws
from docs.generate.reference.parts import fill

__all__ = ["fill", "pages"]


def pages() -> dict[str, str | bytes]:
    """Returns the generated pages, by path in the site."""
    return {**commands.pages(), **laws.pages(), **interface.pages()}
