"""The push door: trades as they come, bars as they close, and a state that can be kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, TypeAlias

import polars as pl

from rangebar_polars import _internal
from rangebar_polars._options import (
    AUTO,
    Auto,
    Incomplete,
    Optional_,
    Settings,
    Span,
    Threshold,
    TimeUnit,
    TradeColumns,
    keys_of,
    span_of,
    thresholds_of,
)
from rangebar_polars._arrow import ArrowStream, batches_of
from rangebar_polars.exceptions import CheckpointError, RangeBarError
from rangebar_polars._ipc import pack, unpack
from rangebar_polars.reports import PushReport
from rangebar_polars._one_trade import guessed_schema, key_values_of, ticks_of
from rangebar_polars._plan import run_plan, with_columns_only

__all__ = ["RangeBarProcessor"]

Overlap: TypeAlias = Literal["error", "skip"]


class RangeBarProcessor:
    """
    Range bars of trades that are pushed, batch by batch or one by one.

    The same machine as :func:`range_bars`, with its state in your hands: the bars of all pushes
    together are those of one frame, wherever it was cut, and a checkpoint goes on in another
    process as if nothing had happened. Safe to use from several threads; pushes take turns.

    Parameters
    ----------
    threshold_decimal_bps, by, timestamp, price, quantity, is_buyer_maker, agg_trade_id
        As for :func:`range_bars`.
    first_trade_id, last_trade_id, incomplete, same_timestamp_close, reset, offset, max_gap
        As for :func:`range_bars`. `incomplete="keep"` has `push` return bars that were cut off,
        and `finish` the bars in progress.
    time_unit
        As for :func:`range_bars`.
    on_overlap
        What to do with trades that were there before: those whose aggregate id is not above the
        last one of their key; without ids, after going on from a checkpoint, those at or before
        its last time. `'error'` refuses the batch (without ids, only times that go backwards
        can be told); `'skip'` leaves them out and counts them in `report`.
    schema
        Schema of the trades. By default that of the first push; needed only to begin with
        `push_trade` on columns that are not Float64 prices and integer or `datetime` times.

    Examples
    --------
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> processor = rb.RangeBarProcessor(250)
    >>> trades = pl.DataFrame(
    ...     {"timestamp": [1, 2, 3], "price": [100.0, 100.1, 100.2], "quantity": [1.0, 1.0, 1.0]}
    ... )
    >>> processor.push(trades).height
    0
    >>> later = rb.RangeBarProcessor.from_checkpoint(processor.checkpoint())
    >>> bars = later.push_trade(timestamp=4, price=100.25, quantity=2.0)
    >>> bars.select("open", "close", "volume").rows()
    [(100.0, 100.25, 5.0)]
    """

    def __init__(
        self,
        threshold_decimal_bps: Threshold | Sequence[Threshold],
        *,
        by: str | Sequence[str] | None = None,
        timestamp: str | None = "timestamp",
        price: str = "price",
        quantity: str | None = "quantity",
        is_buyer_maker: Optional_ = AUTO,
        agg_trade_id: Optional_ = AUTO,
        first_trade_id: Optional_ = AUTO,
        last_trade_id: Optional_ = AUTO,
        incomplete: Incomplete = "drop",
        same_timestamp_close: bool = False,
        reset: str | None = None,
        offset: Span | None = None,
        max_gap: Span | None = None,
        time_unit: TimeUnit | None = None,
        on_overlap: Overlap = "error",
        schema: pl.Schema | None = None,
    ) -> None:
        self._settings = Settings(
            tuple(thresholds_of(threshold_decimal_bps)),
            same_timestamp_close,
            incomplete,
            reset,
            span_of(offset),
            span_of(max_gap),
            time_unit,
        )
        self._columns = TradeColumns(
            timestamp, price, quantity, is_buyer_maker, agg_trade_id, first_trade_id, last_trade_id
        )
        self._by = keys_of(by)
        if on_overlap not in ("error", "skip"):  # pyright: ignore[reportUnnecessaryContains]
            msg = f"on_overlap must be 'error' or 'skip', got {on_overlap!r}"
            raise ValueError(msg)
        self._on_overlap: Overlap = on_overlap
        self._lock = threading.RLock()
        self._machine: _internal.BarStream | None = None
        self._schema = pl.Schema()
        self._roles: dict[str, str] = {}
        self._empty: pl.DataFrame | None = None
        self._key_numbers: dict[object, int] = {}
        self._report: PushReport | None = PushReport()
        self._finished = False
        if schema is not None:
            self._start(schema)

    def __repr__(self) -> str:
        by = f", by={self._by}" if self._by else ""
        return f"RangeBarProcessor({list(self._settings.thresholds)}{by})"

    @property
    def report(self) -> PushReport:
        """How the trades of the last push followed those before it."""
        if self._report is None:
            self._report = (
                PushReport() if self._machine is None else PushReport(*self._machine.report())
            )
        return self._report

    def _start(self, schema: pl.Schema) -> _internal.BarStream:
        """Make the machine, once it is known what trades look like."""
        self._roles = self._columns.present(schema, self._by)
        names = dict.fromkeys([*self._roles.values(), *(self._by or ())])
        self._schema = pl.Schema({name: schema[name] for name in names})
        machine = _internal.BarStream(
            pl.DataFrame(schema=self._schema),
            list(self._roles.values()),
            self._by,
            self._settings.options(list(self._roles)),
            None,
        )
        machine.watch(self._on_overlap)
        self._empty = machine.empty()
        self._machine = machine
        return machine

    def _going(self, schema: pl.Schema) -> _internal.BarStream:
        if self._finished:
            msg = "this processor is finished; make a new one, or keep a checkpoint from before"
            raise RangeBarError(msg)
        if self._machine is None:
            return self._start(schema)
        missing = [name for name in self._schema if name not in schema]
        if missing:
            have = ", ".join(f"'{name}'" for name in schema)
            msg = (
                f"column '{missing[0]}' was in the trades before, and is not now (there are {have})"
            )
            raise pl.exceptions.ColumnNotFoundError(msg)
        return self._machine

    def push(self, trades: pl.DataFrame | pl.LazyFrame | ArrowStream) -> pl.DataFrame:
        """
        Push trades, and take the bars that they close.

        Parameters
        ----------
        trades
            A Polars frame (a LazyFrame is run, streaming), or anything with the Arrow PyCapsule
            interface: a pyarrow Table, RecordBatch or RecordBatchReader, a DuckDB relation, a
            pandas DataFrame. Streams are read batch by batch.

        Returns
        -------
        DataFrame
            Bars, as of :func:`range_bars`. It has the Arrow PyCapsule interface itself.

        Raises
        ------
        rangebar_polars.exceptions.InvalidTradeError
            For a bad trade. The state is then as it was before this push, all of it.
        rangebar_polars.exceptions.RangeBarError
            After `finish`, or for a column whose dtype has changed.
        polars.exceptions.ColumnNotFoundError
            For a column that is missing.
        """
        with self._lock:
            if isinstance(trades, pl.DataFrame):
                return self._push_frame(trades)
            return self._push_batches(trades)

    def _push_frame(self, trades: pl.DataFrame) -> pl.DataFrame:
        machine = self._machine
        if machine is None or self._finished:
            machine = self._going(trades.schema)
        # Made when asked for: it would cost as much as all the rest of a small push.
        self._report = None
        try:
            bars = machine.push(trades)
        except pl.exceptions.ColumnNotFoundError:
            # Reading the schema ahead of every push would cost as much again.
            self._going(trades.schema)
            raise
        return bars if bars is not None else self._no_bars()

    def _push_batches(self, trades: pl.LazyFrame | ArrowStream) -> pl.DataFrame:
        before = self._machine.save() if self._machine is not None else None
        report = PushReport()
        frames: list[pl.DataFrame] = []

        def push(batch: pl.DataFrame) -> pl.DataFrame:
            nonlocal report
            bars = self._push_frame(batch)
            report += self.report
            return bars

        try:
            if isinstance(trades, pl.LazyFrame):
                schema = trades.collect_schema()
                self._going(schema)
                frames.extend(run_plan(with_columns_only(trades, schema, self._schema), push))
            else:
                frames.extend(bars for batch in batches_of(trades) if (bars := push(batch)).height)
        except BaseException:
            # A batch that is refused leaves no trace, nor do the batches of the same push.
            if self._machine is not None:
                if before is not None:
                    self._machine.go_back(before)
                else:
                    self._machine = None
            self._key_numbers.clear()
            raise
        self._report = report
        if not frames:
            return self._no_bars()
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def _no_bars(self) -> pl.DataFrame:
        return pl.DataFrame() if self._empty is None else self._empty.clone()

    def push_trade(
        self,
        *,
        price: float,
        timestamp: datetime | int | None = None,
        quantity: float | None = None,
        is_buyer_maker: bool | None = None,
        agg_trade_id: int | None = None,
        first_trade_id: int | None = None,
        last_trade_id: int | None = None,
        key: object = None,
    ) -> pl.DataFrame | None:
        """
        Push one trade.

        Parameters
        ----------
        price, quantity
            Floats.
        timestamp
            A `datetime`, or an integer in the unit of the time column.
        is_buyer_maker, agg_trade_id, first_trade_id, last_trade_id
            Needed where the trades before had the column, or where this is the first.
        key
            The key, where the processor has `by`: a value, or a tuple for several columns.

        Returns
        -------
        DataFrame or None
            The bars that this trade closes, or None, as most close none.

        Raises
        ------
        TypeError
            If a value is missing that the trades before had.
        rangebar_polars.exceptions.InvalidTradeError
            For a bad trade; the state is then as it was.
        """
        machine = self._machine
        if machine is None or self._finished:
            given = {
                "timestamp": timestamp,
                "price": price,
                "quantity": quantity,
                "is_buyer_maker": is_buyer_maker,
                "agg_trade_id": agg_trade_id,
                "first_trade_id": first_trade_id,
                "last_trade_id": last_trade_id,
            }
            machine = self._first_trade(given, key)
        with self._lock:
            number, new = 0, False
            if self._by is not None:
                known = self._key_numbers.get(key)
                number, new = (known, False) if known is not None else self._new_key(machine, key)
            ticks = timestamp if isinstance(timestamp, int) else self._ticks(timestamp)
            self._report = None
            try:
                bars = machine.push_trade(
                    number,
                    ticks,
                    price,
                    quantity,
                    is_buyer_maker,
                    agg_trade_id,
                    first_trade_id,
                    last_trade_id,
                )
            except BaseException:
                if new:
                    machine.forget_key()
                    del self._key_numbers[key]
                raise
            return bars

    def _first_trade(self, given: dict[str, Any], key: object) -> _internal.BarStream:
        """Guess what trades look like from the first of them."""
        key_values = key_values_of(key, self._by)
        return self._going(guessed_schema(self._columns, given, self._by, key_values))

    def _new_key(self, machine: _internal.BarStream, key: object) -> tuple[int, bool]:
        """The number of a key not pushed singly before, and whether nothing of it came before."""
        values = dict(zip(self._by or (), ([v] for v in key_values_of(key, self._by)), strict=True))
        schema = {name: self._schema[name] for name in values}
        number, new = machine.key_number(pl.DataFrame(values, schema=schema))
        self._key_numbers[key] = number
        return number, new

    def _ticks(self, timestamp: datetime | None) -> int | None:
        """A time in the unit of the time column."""
        name = self._roles.get("timestamp")
        if timestamp is None or name is None:
            return None
        return ticks_of(timestamp, self._schema[name], self._settings.time_unit)

    def open_bars(self) -> pl.DataFrame:
        """
        Bars in progress, as they stand; they stay in progress.

        Returns
        -------
        DataFrame
            As of :func:`range_bars`, with `is_complete` false, by opening trade.
        """
        with self._lock:
            return pl.DataFrame() if self._machine is None else self._machine.open_bars()

    def finish(self) -> pl.DataFrame:
        """
        End the stream.

        Returns
        -------
        DataFrame
            The bars in progress with `incomplete="keep"`, else none. No more can be pushed.
        """
        with self._lock:
            self._finished = True
            return pl.DataFrame() if self._machine is None else self._machine.finish()

    def _options(self) -> str:
        columns = {
            role: {"auto": True} if isinstance(name, Auto) else name
            for role, name in vars(self._columns).items()
        }
        more = {"columns": columns, "by": self._by, "on_overlap": self._on_overlap}
        return json.dumps({**asdict(self._settings), **more})

    def checkpoint(self) -> str:
        """
        Return the state as a text, to go on from with `from_checkpoint`.

        Returns
        -------
        str
            JSON; `docs/resuming.md` describes it. Exact, and read by every later version.
        """
        with self._lock:
            machine = self._machine or _internal.BarStream(
                pl.DataFrame(schema={"price": pl.Float64}),
                ["price"],
                None,
                Settings(self._settings.thresholds).options(["price"]),
                None,
            )
            schema = pack(pl.DataFrame(schema=self._schema)) if self._machine else None
            keys = machine.keys() if self._machine else None
            packed = pack(keys) if keys is not None else None
            return machine.checkpoint(self._options(), schema, packed)

    @classmethod
    def from_checkpoint(cls, text: str, *, on_overlap: Overlap | None = None) -> RangeBarProcessor:
        """
        Return a processor that goes on where a checkpoint was made.

        Parameters
        ----------
        text
            What `checkpoint` returned.
        on_overlap
            As for the class; by default as it was.

        Raises
        ------
        rangebar_polars.exceptions.CheckpointError
            If the text is cut short, changed, none at all, or of a newer version.
        """
        options_text, schema, keys = _internal.read_checkpoint(text)
        try:
            options: dict[str, Any] = json.loads(options_text)
            columns: dict[str, Any] = options.pop("columns")
            names = {role: AUTO if isinstance(n, dict) else n for role, n in columns.items()}
            thresholds = options.pop("thresholds")
            overlap = on_overlap or options.pop("on_overlap")
            options.pop("on_overlap", None)
            processor = cls(thresholds, **names, **options, on_overlap=overlap)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the checkpoint's options make no processor: {error}"
            raise CheckpointError(msg) from error
        if schema is not None:
            machine = processor._start(unpack(schema).schema)
            machine.resume(text, unpack(keys) if keys is not None else None)
        return processor

    def bars_schema(self, trades: pl.Schema) -> pl.Schema:
        """
        Schema of the bars that trades of this schema make.

        Raises
        ------
        polars.exceptions.ColumnNotFoundError, rangebar_polars.exceptions.RangeBarError
            If they make none.
        """
        with self._lock:
            return self._going(trades).empty().schema

    def new_trades(self, trades: pl.LazyFrame) -> pl.LazyFrame:
        """
        The part of `trades` that may be new, as a plan that need not read the rest.

        Only without keys and with `on_overlap="skip"`: a key that has not been seen may begin
        earlier than the others ended, and an overlap that is an error must be looked at.
        """
        name = self._roles.get("timestamp")
        if self._machine is None or self._by or self._on_overlap != "skip" or name is None:
            return trades
        last = self._machine.last_time()
        if last is None:
            return trades
        literal = pl.lit(last, dtype=pl.Int64).cast(self._schema[name])
        return trades.filter(pl.col(name) >= literal)

    def check_same_settings(self, checkpoint: str, where: str) -> None:
        """
        Compare the settings with those of a checkpoint.

        Raises
        ------
        rangebar_polars.exceptions.CheckpointError
            If they differ, naming the first that does.
        """
        theirs = json.loads(_internal.read_checkpoint(checkpoint)[0])
        ours = json.loads(self._options())
        for name in ours:
            if name != "on_overlap" and ours[name] != theirs.get(name):
                msg = f"{where} was made with {name}={theirs.get(name)!r}, not {ours[name]!r}"
                raise CheckpointError(msg)
