"""``rangebar bars`` and ``rangebar update``: from files of trades to bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rangebar_polars.cli.files import scan_trades, show, write_bars
from rangebar_polars.cli.options import BarRules, Output, TradeColumns
from rangebar_polars.dataset import update_bars
from rangebar_polars.frames import range_bars

if TYPE_CHECKING:
    import polars as pl

__all__ = ["bars", "deliver", "update"]

Files = Annotated[list[Path], Parameter(negative="")]


def bars(
    trades: Files,
    /,
    *,
    rules: BarRules | None = None,
    output: Output | None = None,
    columns: TradeColumns | None = None,
) -> None:
    """Make range bars of trades in Parquet, CSV or IPC files.

    The files are streamed: they may be larger than memory. Several, or a quoted pattern such as
    'trades/*.parquet', are read one after the other.

    Parameters
    ----------
    trades
        Files of one kind, their trades in order of time.
    """
    rules, columns = rules or BarRules(), columns or TradeColumns()
    frame = columns.with_times(scan_trades(trades))
    made = range_bars(frame, rules.thresholds, **columns.keywords(), **rules.keywords())
    deliver(made, output or Output())


def update(
    dataset: Path,
    trades: Files,
    /,
    *,
    rules: BarRules | None = None,
    columns: TradeColumns | None = None,
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
    rules, columns = rules or BarRules(), columns or TradeColumns()
    frame = columns.with_times(scan_trades(trades))
    report = update_bars(frame, dataset, rules.thresholds, **columns.keywords(), **rules.keywords())
    print(f"{dataset}: {report.bars} bars added")


def deliver(made: pl.LazyFrame, output: Output) -> None:
    """Write bars to the file that was asked for, or show them."""
    if output.out is None:
        show(made.collect(engine="streaming"), output.rows)
    else:
        write_bars(made, output.out)
