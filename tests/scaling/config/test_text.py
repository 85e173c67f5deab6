"""Tests that text from files cannot control a terminal."""

import unicodedata

import pytest

from scaling.config.text import printable, printable_lines

ORDINARY = ("run 1: loss 3.2", "日本語", "مدل زبان", "שפה", "नि ‌ है", "α β ∞ — ×10¹⁸", "👩‍🔬", r"a\b", "[red]x[/red]")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_of_any_script_stays_as_it_is(text):
    assert printable(text) == printable_lines(text) == text


def test_no_control_character_remains():
    everything = "".join(map(chr, range(0x110000)))
    kept = printable(everything)
    assert not {c for c in kept if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")}
    assert not {c for c in kept if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "PDI")}
    assert set(printable_lines(everything)) - set(kept) == {"\n", "\t"}


def test_escapes_name_the_character():
    assert printable("a\x1b[2J\n\t\x07\x9b\u202e\ud800") == r"a\x1b[2J\n\t\x07\x9b\u202e\ud800"
    assert printable_lines("a\n\tb\r\x1b") == "a\n\tb\\r\\x1b"
