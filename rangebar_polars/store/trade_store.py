"""The store itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import polars as pl

from rangebar_polars._files import local_path, write_text
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.batches import iter_batches
from rangebar_polars.store.columns import Columns, TimeUnit, store_names
from rangebar_polars.store.commit import (
    Change,
    commit,
    locked,
    needs_recovery,
    staging_folder,
)
from rangebar_polars.store.conflicts import OnConflict
from rangebar_polars.store.gaps import gaps
from rangebar_polars.store.inspection import info
from rangebar_polars.store.layout import Series, default_root, find_series, series
from rangebar_polars.store.manifest import Origin, read_manifest, to_text
from rangebar_polars.store.parquet import read_footer
from rangebar_polars.store.reading import scan_series
from rangebar_polars.store.time_range import Instant, parse_time_range
from rangebar_polars.store.verification import verify
from rangebar_polars.store.writing import WriteReport, write_batches

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

__all__ = ["TradeStore"]


class TradeStore:
    """Trades on disk, by source, symbol and UTC day, in Parquet that other tools read too.

    Parameters
    ----------
    root
        Folder of the store, made at the first write. Default: ``$RANGEBAR_CACHE_DIR``, else the
        user's cache folder.

    Notes
    -----
    Files lie at ``trades/source=*/symbol=*/month=*/*.parquet`` and hold ``price_units`` and
    ``price_divisor``: the price is the one divided by the other, exactly. Writes are atomic, also
    over many days and after a kill, and safe from several processes.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import datetime
    >>> store = TradeStore(tempfile.mkdtemp())
    >>> trades = pl.DataFrame(
    ...     {
    ...         "timestamp": [datetime(2024, 1, 31, 23, 59), datetime(2024, 2, 1, 0, 1)],
    ...         "price": [42_000.1, 42_000.3],
    ...         "quantity": [0.5, 0.25],
    ...         "agg_trade_id": [7, 8],
    ...     }
    ... )
    >>> store.write("BTCUSDT", trades).rows_stored
    2
    >>> store.scan("BTCUSDT", start="2024-02").collect()["price"].to_list()
    [42000.3]
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = default_root() if root is None else local_path(root, "root")

    def __repr__(self) -> str:
        return f"TradeStore({str(self.root)!r})"

    def write(
        self,
        symbol: str,
        frame: pl.DataFrame | pl.LazyFrame,
        *,
        source: str = "trades",
        timestamp: str = "timestamp",
        price: str = "price",
        quantity: str | None = "quantity",
        agg_trade_id: str | None = "agg_trade_id",
        time_unit: TimeUnit | None = None,
        decimals: int = 8,
        on_conflict: OnConflict = "error",
        origin: Origin | None = None,
    ) -> WriteReport:
        """Add trades: all of them or, after an error or a kill, none.

        A lazy frame is run in batches and never stands in memory. Rows are sorted by
        ``agg_trade_id`` within their UTC day. Writing the same trades again changes nothing.

        Parameters
        ----------
        symbol
            Name to keep them under: any text without control characters, such as ``"BTCUSDT"``,
            ``"BTC/USDT"``, ``"000001"`` or ``"^GSPC"``.
        frame
            Trades in any order; nearly sorted ones are the fast case.
        source
            Where they come from. Trades of one symbol from two sources are kept apart.
        timestamp
            Column of time: Datetime (stored as microseconds in UTC, of the years 1 to 9999), or
            integers with ``time_unit``.
        price, quantity
            Columns of numbers: floats, integers or Decimal. They come back as Float64, exactly,
            or are refused. ``quantity=None``: there is none.
        agg_trade_id
            Column of integers that name each trade. ``None``: there are no ids, and rows stay in
            the order they come in. Then nothing but its place in the day tells a trade that
            comes again from another, so each write of a day must hold it from its first trade on.
        time_unit
            What an integer ``timestamp`` counts since 1970: ``"s"``, ``"ms"``, ``"us"``, ``"ns"``.
            Times before 1971 and after 2200 are then refused, as a wrong unit makes such.
        decimals
            How many a price may have, 0 to 12. The store uses no more than it needs.
        on_conflict
            What to do where an id is there already with another price, time or any other value:
            ``"error"``, or ``"replace"`` the row. (Without ids: the whole day.)
        origin
            The file they come from; its hash is remembered with the same commit. A file that
            was stored before under another hash has its days replaced.

        Returns
        -------
        WriteReport
            Rows and days written. Further columns of the frame are stored as they are.

        Raises
        ------
        InvalidTradeError
            Null, NaN, infinite or negative values, or one that cannot be stored exactly; names
            column, row and value.
        RangeBarError
            A dtype that does not fit, or an id that names two different trades.
        ColumnNotFoundError
            A named column that is missing.
        ValueError, TypeError
            A name or an option that makes no sense.
        """
        columns = Columns(timestamp, price, quantity, agg_trade_id, time_unit, decimals)
        if on_conflict not in get_args(OnConflict):
            msg = f"on_conflict must be 'error' or 'replace', got {on_conflict!r}"
            raise ValueError(msg)
        place = series(self.root, source, symbol)
        plan = store_names(frame.lazy(), columns)
        batches = iter_batches(plan.collect() if isinstance(frame, pl.DataFrame) else plan)
        return write_batches(place, batches, origin, columns=columns, on_conflict=on_conflict)

    def scan(
        self,
        symbol: str | Sequence[str],
        start: Instant | None = None,
        end: Instant | None = None,
        columns: Sequence[str] | None = None,
        *,
        source: str | None = None,
    ) -> pl.LazyFrame:
        """Return stored trades as a lazy frame, in the order of their ids.

        Days outside the range are not in the plan at all; filters on ``timestamp`` or
        ``agg_trade_id`` skip row groups; only the columns in use are read.

        Parameters
        ----------
        symbol
            One symbol, or several: then they come one after the other, with a column
            ``symbol`` (String) in front.
        start, end
            Dates (or texts such as ``"2024-01-31"`` and ``"2024-01"``) are whole UTC days, both
            included; a datetime is an instant, as an end exclusive. Default: all there is.
        columns
            Columns wanted, in that order. Default: all.
        source
            Needed only where a symbol is stored from several sources.

        Returns
        -------
        LazyFrame
            ``timestamp`` Datetime("us") in UTC without a zone, ``price`` and ``quantity``
            Float64, ``agg_trade_id`` Int64 (where there are ids) and whatever else was written.

        Raises
        ------
        FileNotFoundError
            Where nothing is stored for a symbol.
        ValueError
            Where a symbol has several sources and none was named, or the range is empty.
        ColumnNotFoundError
            Where a wanted column was never stored.
        """
        period = parse_time_range(start, end)
        if isinstance(symbol, str):
            frame = scan_series(self._one(symbol, source), period)
        else:
            frames = [
                scan_series(self._one(name, source), period).select(
                    pl.lit(name).alias("symbol"), pl.all()
                )
                for name in symbol
            ]
            if not frames:
                msg = "no symbol given"
                raise ValueError(msg)
            frame = pl.concat(frames, how="diagonal")
        return frame if columns is None else frame.select(list(columns))

    def info(self, symbol: str | None = None, *, source: str | None = None) -> pl.DataFrame:
        """Return what is stored, a row for each source and symbol.

        Returns
        -------
        DataFrame
            ``source``, ``symbol``, ``first_day``, ``last_day``, ``days``, ``rows``, ``bytes``,
            ``bytes_per_row``.
        """
        return info(self._all(symbol, source))

    def gaps(self, symbol: str, *, source: str | None = None) -> pl.DataFrame:
        """Return what is missing between the first and the last stored trade.

        Returns
        -------
        DataFrame
            A row for each gap, in order: ``kind`` (``"missing_day"``; ``"id_jump"``: aggregate
            ids are left out; ``"id_reset"``: a numbering that began anew; ``"trade_id_jump"``
            and ``"trade_id_reset"``: the same of the individual trades, where
            ``first_trade_id`` and ``last_trade_id`` are stored), ``after`` and ``before``
            (the times of the trades on either side; for a day its first and last instant),
            ``after_id``, ``before_id`` and ``missing`` (how many days or ids).
        """
        return gaps(self._one(symbol, source))

    def verify(self, symbol: str | None = None, *, source: str | None = None) -> pl.DataFrame:
        """Read every file again and return what is wrong with them.

        Checks each page's checksum; that a scan reads each file, and neighbouring days
        together; that ids rise and times lie in the file's day; and rows, ids, times and exact
        sums against what was noted when the file was written. Files among the data that the
        store does not read are named too. A file that is replaced or deleted meanwhile is well.

        Returns
        -------
        DataFrame
            ``source``, ``symbol``, ``file``, ``problem``: empty where all is well.
        """
        return verify(self._all(symbol, source))

    def delete(
        self,
        symbol: str,
        start: Instant | None = None,
        end: Instant | None = None,
        *,
        source: str | None = None,
    ) -> int:
        """Delete the days of a symbol, all of them by default, and return how many there were.

        Days are deleted whole: a range that begins or ends inside a day is refused.
        """
        period = parse_time_range(start, end)
        if not period.whole_days:
            msg = f"delete works on whole days, got start={start!r}, end={end!r}"
            raise ValueError(msg)
        place = self._one(symbol, source)
        with staging_folder(place) as folder, locked(place):
            change = Change(place)
            days = place.day_files(period)
            for _, path in days:
                change.remove(path)
            # Also files of other days that had brought rows: to have those again, they are needed.
            files = {name for _, path in days for name in _files_of(path)}
            kept = {
                name: origin
                for name, origin in read_manifest(place.manifest).items()
                if (origin.last_day < period.first_day or origin.first_day > period.last_day)
                and name not in files
            }
            noted = folder / "sources.json"
            write_text(noted, to_text(kept))
            change.move(noted, place.manifest)
            commit(place, folder, change)
        return len(days)

    def symbols(self, *, source: str | None = None) -> list[tuple[str, str]]:
        """Return the stored (source, symbol) pairs, sorted."""
        return [(place.source, place.symbol) for place in self._all(None, source)]

    def origins(self, symbol: str, *, source: str) -> dict[str, Origin]:
        """Return the source files stored for a symbol, by name."""
        place = series(self.root, source, symbol)
        _recover(place)
        return read_manifest(place.manifest)

    def days(self, symbol: str, *, source: str) -> list[date]:
        """Return the stored days of a symbol, in order."""
        place = series(self.root, source, symbol)
        _recover(place)
        return [day for day, _ in place.day_files()]

    def _all(self, symbol: str | None, source: str | None) -> list[Series]:
        found = find_series(self.root, source, symbol)
        for place in found:
            _recover(place)
        found = [place for place in found if place.data.is_dir()]
        if symbol is not None and not found:
            where = "" if source is None else f" from '{source}'"
            msg = f"no trades of '{symbol}'{where} in {self.root}"
            raise FileNotFoundError(msg)
        return found

    def _one(self, symbol: str, source: str | None) -> Series:
        found = self._all(symbol, source)
        if len(found) > 1:
            names = [place.source for place in found]
            msg = f"'{symbol}' is stored from several sources, name one of {names}"
            raise ValueError(msg)
        return found[0]


def _files_of(path: Path) -> frozenset[str]:
    try:
        return read_footer(path).files
    except RangeBarError:  # damaged files are deleted too
        return frozenset()


def _recover(place: Series) -> None:
    if needs_recovery(place):
        with locked(place):
            pass
