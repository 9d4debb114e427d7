"""The push door: trades as they come, bars as they close, and a state that can be kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Unpack

import polars as pl

from rangebar_polars import _internal
from rangebar_polars._arrow import ArrowStream, batches_of
from rangebar_polars._endings import raise_if_interrupt
from rangebar_polars._made_with import MadeWith
from rangebar_polars._one_trade import cache_key, guessed_schema, too_large
from rangebar_polars._options import BarOptions, Overlap, TradeKeywords, shows_keywords
from rangebar_polars._plain import column_to_plain, schema_to_plain
from rangebar_polars._plan import run_plan, with_columns_only
from rangebar_polars._stream import Stream
from rangebar_polars.columns import AUTO, Auto, TradeColumns, check_by, keys_of
from rangebar_polars.exceptions import CheckpointError, RangeBarError
from rangebar_polars.reports import PushReport
from rangebar_polars.rules import IntoRule

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RangeBarProcessor"]

_FINISHED: Final = "this processor is finished; make a new one, or keep a checkpoint from before"
_BUSY: Final = (
    "this processor is in the middle of a push of several batches on this very thread, which a "
    "signal handler or the source of the trades has interrupted: push once that has returned"
)


class RangeBarProcessor:
    """
    Range bars of trades that are pushed, batch by batch or one by one.

    The same machine as :func:`range_bars`, with its state in your hands: the bars of all pushes
    together are those of one frame, wherever it was cut, and a checkpoint resumes in another
    process as if nothing had happened. Safe to use from several threads; pushes take turns.

    Parameters
    ----------
    rule, by, columns, reset, reset_offset, max_gap, time_unit, same_timestamp_close, decimals
        As for :func:`range_bars`.
    incomplete
        As for :func:`range_bars`: with `"keep"`, `push` returns bars that were cut off, and
        `finish` the bars in progress.
    on_overlap
        What to do with trades that were there before: those whose aggregate id is not above the
        last one of their key; without ids, after resuming a checkpoint, those at or before its last
        time. `'error'` refuses the batch (without ids, only times that go backwards can be told);
        `'skip'` leaves them out and counts them in `report`.
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

    @shows_keywords(TradeKeywords)
    def __init__(
        self,
        rule: IntoRule | Iterable[IntoRule],
        *,
        schema: pl.Schema | None = None,
        **keywords: Unpack[TradeKeywords],
    ) -> None:
        more: dict[str, Any] = dict(keywords)
        by = check_by(more.pop("by", AUTO))
        columns = TradeColumns.of(more.pop("columns", None))
        self._options = BarOptions.of(rule, more)
        self._options.check_times(columns.timestamp)
        self._columns = columns
        self._by_asked = by
        # Re-entered by signal handlers. So each change is one call of the machine, or is refused by
        # `_refusal`; see `src/python/stream.rs` for the order of locks.
        self._lock = threading.RLock()
        self._stream: Stream | None = None
        self._refusal: str | None = None
        self._columns_seen: list[str] = []
        self._report: PushReport | None = None
        if schema is not None:
            self._stream = self._new_stream(pl.Schema(schema))

    def __repr__(self) -> str:
        by = f", by={self._stream.by}" if self._stream is not None and self._stream.by else ""
        return f"RangeBarProcessor({list(self._options.rules)}{by})"

    def __copy__(self) -> RangeBarProcessor:
        with self._lock:
            new = object.__new__(type(self))
            new.__dict__.update(self.__dict__, _lock=threading.RLock())
            if self._stream is not None:
                new._stream = self._stream.copy()
            # The copy is of the state before a push that goes on.
            new._refusal = None if self._refusal is _BUSY else self._refusal
            return new

    def __deepcopy__(self, memo: dict[int, Any]) -> RangeBarProcessor:
        # What is shared never changes.
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            resumed_at = [] if self._stream is None else self._stream.machine.resumed_at()
            finished = self._refusal is _FINISHED
            return _unpickled, (type(self), self.checkpoint(), resumed_at, finished, self.report)

    @property
    def detail(self) -> str:
        """The rules and the key columns, in a few words."""
        by = self._stream.by if self._stream is not None else None
        return self._options.detail + (f"; by: {', '.join(by)}" if by else "")

    @property
    def report(self) -> PushReport:
        """How the trades of the last push followed those before it."""
        # Without the lock: whoever asks in the middle of a push is told of the one before.
        report, stream = self._report, self._stream
        if report is None:
            report = PushReport() if stream is None else PushReport(*stream.machine.report())
        return report

    def _new_stream(self, schema: pl.Schema) -> Stream:
        """Make the machine, once it is known what trades look like."""
        by = keys_of(self._by_asked, schema)
        roles = self._columns.present(schema, by)
        names = dict.fromkeys([*roles.values(), *(by or ())])
        trades = pl.Schema({name: schema[name] for name in names})
        machine = _internal.BarStream(
            pl.DataFrame(schema=trades),
            list(roles.values()),
            list(roles),
            by,
            self._options.to_json(),
            None,
        )
        machine.count_gaps()
        return Stream(machine, by, roles, trades, machine.empty(), {})

    def _check_columns(self, stream: Stream, schema: pl.Schema) -> None:
        """Refuse trades of other columns than those before."""
        if stream.by is None and keys_of(self._by_asked, schema) is not None:
            msg = (
                "column 'symbol' was not in the trades before, and is now: make the processor "
                "with by='symbol', or with by=None if all of them are of one symbol"
            )
            raise RangeBarError(msg)
        missing = [name for name in stream.schema if name not in schema]
        if missing:
            have = ", ".join(f"'{name}'" for name in schema)
            msg = (
                f"column '{missing[0]}' was in the trades before, and is not now (there are {have})"
            )
            raise pl.exceptions.ColumnNotFoundError(msg)
        self._columns.check_side(schema)

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
            After `finish`, for a column whose dtype has changed, or for a `symbol` or a text `side`
            that the trades before did not have.
        polars.exceptions.ColumnNotFoundError
            For a column that is missing.
        """
        with self._lock:
            if self._refusal is not None:
                raise RangeBarError(self._refusal)
            if not isinstance(trades, pl.DataFrame):
                return self._push_batches(trades)
            stream = self._stream
            columns = trades.columns
            if stream is not None and columns != self._columns_seen:
                # Only here: reading the schema ahead of every push would cost as much as a small
                # one.
                self._check_columns(stream, trades.schema)
                self._columns_seen = columns
            if stream is None:
                stream = self._new_stream(trades.schema)
            bars = stream.machine.push(trades)
            if self._stream is None:
                self._stream = stream
            elif self._stream is not stream:
                return self.push(trades)  # A signal handler has pushed the first trades meanwhile.
            self._report = None
            return bars if bars is not None else stream.empty.clone()

    def _push_batches(self, trades: pl.LazyFrame | ArrowStream) -> pl.DataFrame:
        # On a copy, which takes the place of the state when all has gone well.
        stream = self._stream.copy() if self._stream is not None else None
        report = PushReport()
        frames: list[pl.DataFrame] = []

        def push(batch: pl.DataFrame) -> pl.DataFrame | None:
            nonlocal report, stream
            if stream is None:
                stream = self._new_stream(batch.schema)
            else:
                self._check_columns(stream, batch.schema)
            bars = stream.machine.push(batch)
            report += PushReport(*stream.machine.report())
            return bars

        try:
            self._refusal = _BUSY
            if isinstance(trades, pl.LazyFrame):
                schema = trades.collect_schema()
                if stream is None:
                    stream = self._new_stream(schema)
                else:
                    self._check_columns(stream, schema)
                frames.extend(run_plan(with_columns_only(trades, schema, stream.schema), push))
            else:
                batches = map(push, batches_of(trades))
                frames.extend(bars for bars in batches if bars is not None)
            if self._stream is None:
                self._stream = stream
            elif stream is not None:
                self._stream.machine.take_over(stream.machine)
            self._report = report
        finally:
            self._refusal = None
        if not frames:
            return pl.DataFrame() if stream is None else stream.empty.clone()
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def push_trade(
        self,
        *,
        price: float,
        timestamp: datetime | int | np.datetime64 | None = None,
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
            A `datetime`, `pandas.Timestamp` or `numpy.datetime64`, or an integer in the unit of the
            time column. A time that is finer than the unit is refused, never cut short.
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
            If a value is missing that the trades before had, or is not of its kind: a date has no
            time of day, a text is not a number.
        rangebar_polars.exceptions.InvalidTradeError
            For a bad trade, a NaT, a time finer than the unit of its column or a number of more
            than 64 bits; the state is then as it was.
        """
        with self._lock:
            stream = self._stream
            if stream is None or self._refusal is not None:
                stream = self._first_stream(
                    key,
                    timestamp=timestamp,
                    price=price,
                    quantity=quantity,
                    is_buyer_maker=is_buyer_maker,
                    agg_trade_id=agg_trade_id,
                    first_trade_id=first_trade_id,
                    last_trade_id=last_trade_id,
                )
            number = stream.numbers.get(key) if type(key) is str else stream.number_of(key)
            ticks = timestamp if type(timestamp) is int else stream.ticks(timestamp, self._options)
            try:
                if number is not None:
                    bars = stream.machine.push_trade(
                        number,
                        ticks,
                        price,
                        quantity,
                        is_buyer_maker,
                        agg_trade_id,
                        first_trade_id,
                        last_trade_id,
                    )
                else:
                    number, bars = stream.machine.push_trade_of(
                        stream.row_of(key),
                        ticks,
                        price,
                        quantity,
                        is_buyer_maker,
                        agg_trade_id,
                        first_trade_id,
                        last_trade_id,
                    )
                    token = cache_key(key)
                    if token is not None:
                        stream.numbers[token] = number
            except OverflowError as error:
                numbers: dict[str, object] = {
                    "timestamp": ticks,
                    "price": price,
                    "quantity": quantity,
                    "agg_trade_id": agg_trade_id,
                    "first_trade_id": first_trade_id,
                    "last_trade_id": last_trade_id,
                }
                raise too_large(numbers, stream.roles) from error
            if self._stream is None:
                self._stream = stream
            elif self._stream is not stream:
                # A signal handler has pushed the first trades meanwhile.
                return self.push_trade(
                    price=price,
                    timestamp=timestamp,
                    quantity=quantity,
                    is_buyer_maker=is_buyer_maker,
                    agg_trade_id=agg_trade_id,
                    first_trade_id=first_trade_id,
                    last_trade_id=last_trade_id,
                    key=key,
                )
            self._report = None
            return bars

    def _first_stream(self, key: object, **given: Any) -> Stream:
        """Guess what trades look like from the first of them."""
        if self._refusal is not None:
            raise RangeBarError(self._refusal)
        by = self._by_asked
        if isinstance(by, Auto):
            by = ["symbol"] if key is not None else None
        return self._new_stream(guessed_schema(self._columns, given, by, key))

    def open_bars(self) -> pl.DataFrame:
        """
        Bars in progress, as they stand; they stay in progress.

        Returns
        -------
        DataFrame
            As of :func:`range_bars`, with `is_complete` false, by opening trade.
        """
        with self._lock:
            return pl.DataFrame() if self._stream is None else self._stream.machine.open_bars()

    def finish(self) -> pl.DataFrame:
        """
        End the stream.

        Returns
        -------
        DataFrame
            The bars in progress with `incomplete="keep"`, else none. No more can be pushed.
        """
        with self._lock:
            if self._refusal is _BUSY:
                raise RangeBarError(_BUSY)
            before = self._refusal
            try:
                # First, so that no trade of a signal handler comes after the last bars.
                self._refusal = _FINISHED
                return pl.DataFrame() if self._stream is None else self._stream.machine.finish()
            except BaseException:
                self._refusal = before
                raise

    def checkpoint(self) -> str:
        """
        Return the state as a text, to be resumed with `from_checkpoint`.

        Returns
        -------
        str
            JSON; `docs/resuming.md` describes it. Exact, and read by every later version.
        """
        with self._lock:
            return self._checkpoint().text()

    def _checkpoint(self) -> _internal.Checkpoint:
        made = MadeWith(self._options, self._columns, self._by_asked).to_json()
        if self._stream is None:
            return _internal.Checkpoint.initial(made)
        machine, schema = self._stream.machine, self._stream.schema
        if self._stream.by is not None:
            # The keys and the state must be of one instant.
            machine = machine.copy()
        keys = machine.keys()
        columns = None if keys is None else [column_to_plain(column) for column in keys]
        return machine.checkpoint(
            made,
            json.dumps(schema_to_plain(schema)),
            json.dumps(columns) if columns is not None else None,
        )

    @classmethod
    def from_checkpoint(cls, text: str, *, on_overlap: Overlap | None = None) -> RangeBarProcessor:
        """
        Return a processor that resumes a checkpoint.

        Parameters
        ----------
        text
            What `checkpoint` returned.
        on_overlap
            As for the class; by default as it was.

        Raises
        ------
        rangebar_polars.exceptions.CheckpointError
            If the text is cut short, changed, not a checkpoint at all, or of a newer version.
        """
        return cls._resumed(_internal.Checkpoint(text), on_overlap)

    @classmethod
    def _resumed(
        cls, checkpoint: _internal.Checkpoint, on_overlap: Overlap | None
    ) -> RangeBarProcessor:
        made = MadeWith.of(checkpoint)
        options = made.options
        if on_overlap is not None:
            options = replace(options, on_overlap=on_overlap)
        plain = {field.name: getattr(options, field.name) for field in fields(options)}
        try:
            processor = cls(plain.pop("rules"), columns=made.columns, by=made.by, **plain)
            if made.schema is not None:
                stream = processor._new_stream(made.schema)
                stream.machine.resume(checkpoint, made.keys(checkpoint, stream.by))
                processor._stream = stream
        except CheckpointError:
            raise
        except (Exception, pl.exceptions.PanicException) as error:
            raise_if_interrupt(error)
            msg = f"the checkpoint cannot be resumed: {error}"
            raise CheckpointError(msg) from error
        return processor

    def _take_on(
        self,
        resumed_at: list[int | None],
        finished: bool,
        report: PushReport,
    ) -> None:
        if self._stream is not None:
            self._stream.machine.set_resumed_at(resumed_at)
        self._refusal = _FINISHED if finished else None
        self._report = report

    def bars_schema(self, trades: pl.Schema) -> pl.Schema:
        """
        Schema of the bars that trades of this schema make.

        Raises
        ------
        polars.exceptions.ColumnNotFoundError, rangebar_polars.exceptions.RangeBarError
            If they make none.
        """
        with self._lock:
            stream = self._stream
            if stream is None:
                stream = self._new_stream(trades)
            else:
                self._check_columns(stream, trades)
            return stream.empty.schema

    def new_trades(self, trades: pl.LazyFrame) -> pl.LazyFrame:
        """
        The part of `trades` that may be new, as a plan that need not read the rest.

        Only without keys and with `on_overlap="skip"`: a key that has not been seen may begin
        earlier than the others ended, and an overlap that is an error must be looked at.
        """
        stream = self._stream
        if stream is None or stream.by or self._options.on_overlap != "skip":
            return trades
        name, last = stream.roles.get("timestamp"), stream.machine.last_time()
        if name is None or last is None:
            return trades
        literal = pl.lit(last, dtype=pl.Int64).cast(stream.schema[name])
        return trades.filter(pl.col(name) >= literal)

    def check_same_options(
        self, checkpoint: _internal.Checkpoint, trades: pl.Schema, where: str
    ) -> None:
        """
        Compare what this processor was made with to what a checkpoint was, for such trades.

        Raises
        ------
        rangebar_polars.exceptions.CheckpointError
            If they differ, naming the first option that does.
        """
        made = MadeWith.of(checkpoint)
        ours = _flat(self._options, self._columns, keys_of(self._by_asked, trades))
        theirs = _flat(made.options, made.columns, keys_of(made.by, made.schema or trades))
        for name, asked in ours.items():
            if name != "on_overlap" and theirs[name] != asked:
                msg = f"{where} was made with {name}={theirs[name]!r}, not {asked!r}"
                raise CheckpointError(msg)


def _unpickled(
    kind: type[RangeBarProcessor],
    text: str,
    resumed_at: list[int | None],
    finished: bool,
    report: PushReport,
) -> RangeBarProcessor:
    """The processor that was pickled: as `from_checkpoint`, but for what a checkpoint forgets."""
    processor = kind.from_checkpoint(text)
    processor._take_on(resumed_at, finished, report)  # noqa: SLF001 - its own
    return processor


def _flat(options: BarOptions, columns: TradeColumns, by: list[str] | None) -> dict[str, Any]:
    """What a processor is made with, by the names of its arguments."""
    plain = {field.name: getattr(options, field.name) for field in fields(options)}
    rules = list(plain.pop("rules"))
    rule = rules[0] if len(rules) == 1 else rules
    return {"rule": rule, **plain, "columns": columns, "by": by}
