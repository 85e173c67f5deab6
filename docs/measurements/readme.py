"""The table of the README that compares one figure of each publication with the fits of the published-fits page."""

from __future__ import annotations

from docs.generate.measurements import read_results, table
from tests.support.commands import ROOT

README = ROOT / "README.md"
START, END = "<!-- published-fits -->\n", "<!-- /published-fits -->"
FIGURES = (  # data set and quantity of the page, one per publication
    ("Chinchilla's 240 points (Besiroglu 2024)", "E"),
    ("Llama 3's isoFLOPs, digitised", "exponent of D*"),
    ("RefinedWeb (Porian 2024), tuned short const standard val", "exponent of N*"),
    ("over-training on C4 (Gadre 2024)", "eta"),
    ("repeated data (Muennighoff 2023)", "RD_star"),
    ("hash routing (Clark 2022)", "a"),
    ("four-digit addition (Caballero 2023)", "a"),
    ("OLMo ladder 2024, hellaswag at 13B", "accuracy (measured 0.8319)"),
    ("observational law (Ruan 2024), models held out", "mean squared error"),
    ("multi-power law (Luo 2025)", "R² of unseen schedules"),
)


def readme_table() -> str:
    """Returns the table in Markdown.

    Raises:
        KeyError: The results lack one of the figures.
    """
    content = read_results("published-fits")["tables"]["main"]
    rows = {(row[0], row[1]): row for row in content["rows"]}
    chosen = {"columns": content["columns"], "rows": [rows[key] for key in FIGURES]}
    return table({"tables": {"main": chosen}}, "main") + "\n"


def with_table(readme: str) -> str:
    """Returns the README's text with the table of the present results between its two comments."""
    before, rest = readme.split(START)
    return before + START + readme_table() + END + rest.split(END)[1]


def update_readme() -> None:
    """Writes the table into the README."""
    README.write_text(with_table(README.read_text()))
