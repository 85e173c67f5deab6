"""Damages of files with code that a user names on the command line: what they do when they are run."""

from __future__ import annotations

from pathlib import Path
from random import Random

ENDINGS = {
    "raises": "raise ValueError('no\\nsuch thing')",
    "raises its own error": "class Own(Exception):\n    def __str__(self): raise RuntimeError('no text')\nraise Own",
    "exits": "import sys; sys.exit(3)",
    "exits with text": "raise SystemExit('bye')",
    "ends the process": "import os; os._exit(3)",
    "recurses": "def f(): return f()\nf()",
    "syntax": "def (",
    "never ends": "while True: pass",
    "fills the memory": "x = [0]\nwhile True: x += x",
    "imports nothing known": "import a_module_that_is_missing",
    "interrupts": "raise KeyboardInterrupt",
    "defines nothing": "del {name}",
    "a value in place of the function": "{name} = 3",
    "raises when called": "def {name}(*a, **k): raise ValueError('inside')",
    "exits when called": "def {name}(*a, **k): import sys; sys.exit(4)",
    "returns nothing": "def {name}(*a, **k): return None",
    "returns text": "def {name}(*a, **k): return 'text'",
}


def hostile(path: Path, random: Random) -> str:
    """Code at the end of a file that does what code should not do."""
    ending = random.choice(list(ENDINGS))
    text = path.read_text()
    name = text[text.rindex("\ndef ") + 5 :].partition("(")[0] if "\ndef " in text else text[4:].partition("(")[0]
    path.write_text(f"{text}\n{ENDINGS[ending].replace('{name}', name)}\n")
    return ending
