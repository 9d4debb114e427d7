"""``rangebar bars`` and ``rangebar update``: from files of trades to bars."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rangebar_polars.cli.arguments import BarArguments, OutputArguments, TradeArguments
from rangebar_polars.cli.output import deliver
from rangebar_polars.cli.trades import open_trades
from rangebar_polars.dataset import update_bars
from rangebar_polars.exceptions import InvalidTradeError
from rangebar_polars.frames import range_bars

__all__ = ["bars", "update"]

Files = Annotated[list[str], Parameter(negative="")]


def bars(
    trades: Files,
    /,
    *,
    rules: BarArguments | None = None,
    output: OutputArguments | None = None,
    columns: TradeArguments | None = None,
) -> None:
    """Make range bars of trades in files.

    Read are .parquet, .csv (also .csv.gz and .csv.zst), .arrow, .feather and .ipc files, the zips
    of Binance's archive (with --format binance), and standard input (-). They are streamed, and may
    be larger than memory. Several, or a quoted pattern such as 'trades/*.parquet', are read one
    after the other.

    Parameters
    ----------
    trades
        Files of one kind, their trades in order of time.
    """
    rules, columns = rules or BarArguments(), columns or TradeArguments()
    with open_trades(trades, columns) as frame, _columns_as_named(columns):
        made = range_bars(frame, rules.rules, **columns.bar_columns(), **rules.keywords())
        deliver(made, output or OutputArguments())


def update(
    dataset: Path,
    trades: Files,
    /,
    *,
    rules: BarArguments | None = None,
    columns: TradeArguments | None = None,
) -> None:
    """Append the bars of new trades to a data set of bars, without reading the old trades again.

    A checkpoint in the data set knows where the last update ended. Trades from before it are
    left out, so that running an update twice adds nothing; killed, it has happened or has not.

    Parameters
    ----------
    dataset
        Folder of the bars; made by the first update. Always use the same options with it.
    trades
        Files of one kind, their trades in order of time.
    """
    rules, columns = rules or BarArguments(), columns or TradeArguments()
    with open_trades(trades, columns) as frame, _columns_as_named(columns):
        keywords = {**columns.bar_columns(), **rules.keywords()}
        report = update_bars(frame, dataset, rules.rules, **keywords)
    print(f"{dataset}: {report.bars} bars added")


@contextmanager
def _columns_as_named(columns: TradeArguments) -> Generator[None]:
    """Name columns in errors as the files do, for bars are made of normalized ones."""
    try:
        yield
    except InvalidTradeError as error:
        message = str(error)
        for role, name in columns.named.items():
            message = message.replace(f"column '{role}'", f"column '{name}'")
        raise InvalidTradeError(message) from error
