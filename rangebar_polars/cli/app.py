"""The command's frame: its sub-commands, exit codes, and errors in one line.

Exit codes: 0 all went well, or the reader of a pipe had enough; 1 the data, the files or the
network did not allow it, or `store verify` found damage; 2 the command line is wrong; 128 and
the number of a signal that ended it: 130 for Ctrl-C, 143 for SIGTERM.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

from polars.exceptions import PolarsError

__all__ = ["main"]

try:
    from cyclopts import App, CycloptsError, Parameter
except ImportError:  # pragma: no cover - the message is all there is
    sys.exit("the command line needs cyclopts: pip install 'rangebar_polars[cli]'")

from rangebar_polars import __version__
from rangebar_polars.cli import bars, fetch, store
from rangebar_polars.cli.messages import in_words_of_the_command
from rangebar_polars.cli.signals import Signals
from rangebar_polars.cli.trades import STANDARD

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130

_EXAMPLES = """Examples:

    rangebar bars trades.parquet -t 0.25% -o bars.parquet

    rangebar bars 'BTCUSDT-*.zip' --format binance -t 250 -t 500

    zcat trades.csv.gz | rangebar bars - --timestamp time --time-unit s -o - | head

    rangebar update bars/ yesterday.parquet -t 250

    rangebar get BTCUSDT --start 2024-01 --end 2024-06 -t 250

    rangebar fetch BTCUSDT ETHUSDT --start 2024-01-01

    rangebar store info
"""

app = App(
    name="rangebar",
    version=__version__,
    help="Range bars from trades: files in, bars out, or straight from the exchange's archive.",
    help_epilogue=_EXAMPLES,
)
# Or Ctrl-C would end the process without a word.
app.suppress_keyboard_interrupt = app.meta.suppress_keyboard_interrupt = False
app.command(bars.bars)
app.command(bars.update)
app.command(fetch.fetch)
app.command(fetch.get)
app.command(store.app)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative="")] = False,
) -> int:
    """Set up logging and run the sub-command.

    Parameters
    ----------
    verbose
        Log what is fetched and stored to standard error.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    return code if isinstance(code, int) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    arguments
        What stands behind the command's name; default: this process's own.
    """
    signals = Signals()
    if arguments is not None:
        return _run(arguments, signals)
    # The process is this command's own.
    with signals:
        return _run(sys.argv[1:], signals)


def _run(arguments: Sequence[str], signals: Signals) -> int:
    tokens = [STANDARD if token == "-" else token for token in arguments]
    try:
        code = app.meta(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
        # Here, where a reader that has gone can be told from an error.
        sys.stdout.flush()
    except BrokenPipeError:
        return _nobody_reads()
    except KeyboardInterrupt:
        return _interrupted(signals)
    except SystemExit:
        raise
    except BaseException as error:
        # What a signal ended may fail in the attempt to go on, and Polars may panic.
        if signals.came():
            return _interrupted(signals)
        told = _judged(error)
        if told is None:
            raise
        return told
    return code if isinstance(code, int) else 0


def _judged(error: BaseException) -> int | None:
    """Complain about what is the user's to mend, and return the exit code; None for a fault."""
    if isinstance(error, CycloptsError):
        return _complain(str(error), _USAGE, hint="; see rangebar --help")
    if isinstance(error, ValueError | TypeError):
        return _complain(str(error), _USAGE)
    if isinstance(error, PolarsError | OSError | ImportError):
        return _complain(_told(error), _FAILED)
    return None


def _interrupted(signals: Signals) -> int:
    signals.say()
    return signals.exit_code or _INTERRUPTED


def _nobody_reads() -> int:
    """End quietly where ``| head`` has seen enough: nothing failed."""
    # Or Python would complain at its end, when it flushes what is left.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _complain(message: str, code: int, hint: str = "") -> int:
    print(f"rangebar: {in_words_of_the_command(message)}{hint}", file=sys.stderr)
    return code
