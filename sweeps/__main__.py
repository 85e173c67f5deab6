"""Plans, launches and monitors sweeps of runs."""

from __future__ import annotations

import argparse
import sys

from scaling.config.exit_status import BAD_INPUT, DONE, STOPPED
from scaling.config.os_errors import describe_os_error, discard_unwritable_output
from scaling.config.text import printable
from scaling.config.validation import ConfigError
from scaling.store.files import StoreError
from sweeps.commands import anonymize, check, forecast, launch, next, plan, saving, status
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
    "forecast": forecast.run,
    "anonymize": anonymize.run,
}


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m sweeps", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (plan, check, launch, status, saving, next, forecast, anonymize):
        module.add(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit status (scaling/config/exit_status.py)."""
    args = parser().parse_args(separate_arguments(sys.argv[1:] if argv is None else argv))
    try:
        status = COMMANDS[args.command](args)
        sys.stdout.flush()
        return status
    except (SweepError, StoreError, ConfigError) as error:
        print(printable(str(error)), file=sys.stderr)
        return BAD_INPUT
    except PrepareError as error:
        return error.status
    except KeyboardInterrupt:
        print("interrupted; no file is incomplete: run the same command again", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of the output has closed the pipe
        discard_unwritable_output()
        return DONE
    except OSError as error:
        discard_unwritable_output()
        print(describe_os_error(error), file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
