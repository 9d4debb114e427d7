"""``rangebar store``: what is stored, what is missing, what is damaged."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from rangebar_polars.cli.output import print_table
from rangebar_polars.store import TradeStore

__all__ = ["app"]

app = App(name="store", help="Look at the trade store.")
_ROWS = 1000


@app.command
def info(
    symbol: str | None = None, *, source: str | None = None, store: Path | None = None
) -> None:
    """Show what is stored: days, rows and bytes of each symbol.

    Parameters
    ----------
    symbol
        Default: all.
    source
        Where the trades came from, such as binance-spot-aggTrades.
    store
        Folder of the store. Default: RANGEBAR_CACHE_DIR, or the user's cache folder.
    """
    print_table(TradeStore(store).info(symbol, source=source), _ROWS)


@app.command
def gaps(symbol: str, *, source: str | None = None, store: Path | None = None) -> None:
    """Show missing days and jumps of the ids between the first and the last stored trade.

    Parameters
    ----------
    symbol
        As it was stored.
    source
        Needed where the symbol is stored from several sources.
    store
        Folder of the store.
    """
    found = TradeStore(store).gaps(symbol, source=source)
    if found.is_empty():
        print("no gaps")
    else:
        print_table(found, _ROWS)


@app.command
def verify(
    symbol: str | None = None, *, source: str | None = None, store: Path | None = None
) -> int:
    """Read every stored file again and check it. The exit code is 1 where anything is wrong.

    Parameters
    ----------
    symbol
        Default: all.
    source
        Only what came from there.
    store
        Folder of the store.
    """
    problems = TradeStore(store).verify(symbol, source=source)
    if problems.is_empty():
        print("all is well")
        return 0
    print_table(problems, _ROWS)
    return 1
