"""The runner of pages: a page whose blocks do not do what it says fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.harness.output import matches
from tests.docs.harness.page import run_page

PAGE = """\
# Page

<!-- setup: echo before > first.txt -->

```csv title="data/table.csv"
N,D
1,2
```

1. In a list:

   ```bash
   export WORD=three
   cat first.txt data/table.csv; echo $WORD \\
     four
   ```

   ```text title="Output"
   before
   ...
   three fo...
   ```

```python
value = 7
```

```bash title="Exits with 3"
echo wrong >&2; exit 3
```

```text title="Output"
wrong
```

```python
import subprocess
print(value)
subprocess.run(["echo", "child"])
```

```text title="Output"
7
child
```

```bash title="Needs a cluster"
exit 1
```

```bash title="Takes 5 minutes"
touch long
```

```bash title="Takes a second"
test -e long
```
"""


def run(page: Path, *changes: tuple[str, str], long: bool = True) -> None:
    text = PAGE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    page.write_text(text)
    run_page(page, page.with_suffix(""), long=long)


@pytest.mark.parametrize("long", [True, False])
def test_a_right_page_passes_and_stays_as_it_is(tmp_path: Path, long: bool) -> None:
    run(tmp_path / "page.md", long=long)
    assert (tmp_path / "page.md").read_text() == PAGE
    assert (tmp_path / "page" / "long").exists() == long


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("echo $WORD", "false; echo $WORD", "page.md:13: exit status 1 of: false"),
        ("before\n   ...", "after\n   ...", "page.md:19 shows"),
        ("exit 3", "exit 0", "expected 3"),
        ("print(value)", "print(other)", "NameError"),
        ("touch long", "true", "exit status 1 of: test -e long"),
    ],
)
def test_a_wrong_page_fails_and_says_where(tmp_path: Path, before: str, after: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run(tmp_path / "page.md", (before, after))


def test_outputs_are_renewed_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPDATE_OUTPUTS", "1")
    run(tmp_path / "page.md", ("before\n   ...\n   three fo...\n", "typed by hand\n"), ("7\nchild\n", ""))
    assert (tmp_path / "page.md").read_text() == PAGE.replace("...\n   three fo...\n", "N,D\n   1,2\n   three four\n")


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ("a\n...\nz", "a\nz", True),
        ("a\n...\nz", "a\nb\nc\nz\n", True),
        ("a ... z", "a b z  \n\n", True),
        ("a ... z", "a b\nc z", False),
        ("1.5", "1x5", False),
        ("a", "a\nb", False),
    ],
)
def test_dots_stand_for_any_text_of_a_line_and_alone_for_any_lines(shown: str, printed: str, equal: bool) -> None:
    assert matches(shown, printed) == equal
