"""sweeps.commands.options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from scaling.config.run import RunConfig
from scaling.store.open import open_store
from scaling.store.record import Store
from sweeps.definitions import definition
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import Plan, plan
from sweeps.planning.settings import settings

if TYPE_CHECKING:
    from sweeps.cost.quote import Slice


def make_plan(args: argparse.Namespace, corpus: Corpus, store: Store | None) -> Plan:
    """The plan of the sweep the arguments name."""
    return plan(made(args, corpus), corpus, store)


def made(args: argparse.Namespace, corpus: Corpus) -> list[RunConfig]:
    """The runs of the sweep the arguments name, with its settings."""
    make = definition(args.name).make
    return make(corpus, seed=args.seed, **settings(args.name, make, args.settings))


def fetched(where: str) -> Store:
    """The store, its records and token files on this machine."""
    store = open_store(where)
    store.fetch_results()
    store.fetch_tokens()
    return store


def slice_of(args: argparse.Namespace) -> Slice | None:
    """The slice that the arguments name, at its price."""
    from sweeps.cost.quote import PRICES, slice_named

    return slice_named(args.slice, args.prices or PRICES, args.spot) if args.slice else None
