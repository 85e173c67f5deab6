"""python -m analysis audit: what a source contains, what is missing, and which numbers contradict each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.commands import options
from analysis.commands.output import add_json_option, print_text, write_result
from analysis.data.options import ReadOptions
from scaling.config.exit_status import DONE, FAILED
from scaling.config.options import add_options, read_options

READING = ("columns", "units", "where", "flops", "params", "wide", "run_names", "run_columns", "replicates")
DESCRIPTION = (
    "Check a store or table before a fit. Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 the "
    "source cannot be read."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser("audit", help="check a store or table before a fit", description=DESCRIPTION)
    parser.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    parser.add_argument("--law", metavar="LAW", help="law whose columns are checked (default: laws of N, D and C)")
    parser.add_argument("--out", metavar="FILE.html", help="write one page to attach to a review")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    add_json_option(parser)
    add_options(parser, ReadOptions, only=READING)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from analysis import laws  # here, so that --help stays fast
    from analysis.studies.audit.audit import audit_source
    from analysis.studies.audit.findings import ERROR, WARNING, describe

    out, failing = arguments.out, (ERROR, WARNING) if arguments.strict else (ERROR,)
    law = laws.find(arguments.law) if arguments.law else None
    audit = audit_source(arguments.source, read_options(ReadOptions, arguments), law)
    if out:
        from analysis.report.audit import write_audit  # here, because only the page needs it

        write_audit(audit, Path(out))
    write_result(audit.to_json(), arguments, lambda: print_text(describe(audit)))
    return FAILED if any(map(audit.number, failing)) else DONE
