"""Plans, launches and monitors sweeps of runs."""

from __future__ import annotations

import argparse
import sys

from scaling.config.exit_status import BAD_INPUT, DONE, STOPPED
from scaling.config.text import printable
from scaling.config.validation import ConfigError
from scaling.store.files import StoreError
from sweeps.commands import check, launch, next, plan, saving, status
from sweeps.commands.options import separate_arguments
from sweeps.errors import PrepareError, SweepError

COMMANDS = {
    "list": plan.run_list,
    "plan": plan.run,
    "check": check.run,
    "launch": launch.run,
    "status": status.run,
    "saving": saving.run,
    "next": next.run,
}


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m sweeps", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (plan, check, launch, status, saving, next):
        module.add(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit status (scaling/config/exit_status.py)."""
    args = parser().parse_args(separate_arguments(sys.argv[1:] if argv is None else argv))
    try:
        return COMMANDS[args.command](args)
    except (SweepError, StoreError, ConfigError) as error:
        print(printable(str(error)), file=sys.stderr)
        return BAD_INPUT
    except PrepareError as error:
        return error.status
    except KeyboardInterrupt:
        print("interrupted; no file is incomplete: run the same command again", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of the output has closed the pipe
        sys.stderr.close()
        return DONE


if __name__ == "__main__":
    sys.exit(main())
