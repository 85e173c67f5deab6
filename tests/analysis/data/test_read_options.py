"""Options of reading: flags of the command line give the same options as keyword arguments, and errors in one line."""

from __future__ import annotations

import argparse

import pytest

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from scaling.config.options import add_options, read_options


def parse(*arguments: str) -> ReadOptions:
    parser = argparse.ArgumentParser()
    add_options(parser, ReadOptions)
    return read_options(ReadOptions, parser.parse_args(arguments))


def test_flags_give_the_same_options_as_keywords() -> None:
    assert parse() == ReadOptions()
    options = parse("--columns", "N=params, L=val_loss", "--units", "N=billions", "--drop-bad", "--where", "C<1e21",
                    "--flops", "6nd", "--params", "nonembedding", "--runs", "model,seed")  # fmt: skip
    assert options == ReadOptions(
        columns={"N": "params", "L": "val_loss"},
        units={"N": "billions"},
        drop_bad=True,
        where="C<1e21",
        flops="6nd",
        params="nonembedding",
        run_columns=("model", "seed"),
    )


@pytest.mark.parametrize("arguments", [("--columns", "params"), ("--units", "N="), ("--runs", "model,")])
def test_text_that_is_no_list_is_refused_with_the_flag_and_an_example(arguments: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=f"^{arguments[0]} {arguments[1]}: must be") as error:
        parse(*arguments)
    assert "\n" not in str(error.value)
