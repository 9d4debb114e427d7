"""The push door: trades as they come, bars as they close, and a state that can be kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

import polars as pl

from rangebar_polars import _internal
from rangebar_polars._arrow import ArrowStream, batches_of
from rangebar_polars._ipc import pack, unpack
from rangebar_polars._one_trade import guessed_schema, key_values_of, ticks_of, too_large
from rangebar_polars._options import BarOptions, Overlap, TradeKeywords, shows_keywords
from rangebar_polars._plan import run_plan, with_columns_only
from rangebar_polars.columns import AUTO, Auto, By, TradeColumns, check_by, keys_of
from rangebar_polars.exceptions import CheckpointError, RangeBarError
from rangebar_polars.reports import PushReport
from rangebar_polars.rules import IntoRule

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RangeBarProcessor"]


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
        self._columns = columns
        self._by_asked = by
        self._by: list[str] | None = None
        self._lock = threading.RLock()
        self._machine: _internal.BarStream | None = None
        self._schema = pl.Schema()
        self._columns_seen: list[str] = []
        self._roles: dict[str, str] = {}
        self._empty: pl.DataFrame | None = None
        self._key_numbers: dict[object, int] = {}
        self._report: PushReport | None = PushReport()
        self._finished = False
        if schema is not None:
            self._start(pl.Schema(schema))

    def __repr__(self) -> str:
        by = f", by={self._by}" if self._by else ""
        return f"RangeBarProcessor({list(self._options.rules)}{by})"

    @property
    def detail(self) -> str:
        """The rules and the key columns, in a few words."""
        return self._options.detail + (f"; by: {', '.join(self._by)}" if self._by else "")

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
        self._by, self._roles, self._schema = by, roles, trades
        self._empty = machine.empty()
        self._machine = machine
        return machine

    def _going(self, schema: pl.Schema) -> _internal.BarStream:
        if self._finished:
            msg = "this processor is finished; make a new one, or keep a checkpoint from before"
            raise RangeBarError(msg)
        if self._machine is None:
            return self._start(schema)
        if self._by != keys_of(self._by_asked, schema) and self._by is None:
            msg = (
                "column 'symbol' was not in the trades before, and is now: make the processor "
                "with by='symbol', or with by=None if all of them are of one symbol"
            )
            raise RangeBarError(msg)
        missing = [name for name in self._schema if name not in schema]
        if missing:
            have = ", ".join(f"'{name}'" for name in schema)
            msg = (
                f"column '{missing[0]}' was in the trades before, and is not now (there are {have})"
            )
            raise pl.exceptions.ColumnNotFoundError(msg)
        self._columns.check_side(schema)
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
            After `finish`, for a column whose dtype has changed, or for a `symbol` or a text `side`
            that the trades before did not have.
        polars.exceptions.ColumnNotFoundError
            For a column that is missing.
        """
        with self._lock:
            if isinstance(trades, pl.DataFrame):
                return self._push_frame(trades)
            return self._push_batches(trades)

    def _push_frame(self, trades: pl.DataFrame) -> pl.DataFrame:
        machine = self._machine
        columns = trades.columns
        if machine is None or self._finished or columns != self._columns_seen:
            # Only here: reading the schema ahead of every push would cost as much as a small one.
            machine = self._going(trades.schema)
            self._columns_seen = columns
        # Made when asked for: it would cost as much as all the rest of a small push.
        self._report = None
        bars = machine.push(trades)
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
            machine = self._machine
            first = machine is None or self._finished
            number, new = 0, False
            ticks: int | None = None
            try:
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
                if self._by is None:
                    if key is not None:
                        msg = "key= needs key columns: make the processor with by='...'"
                        raise TypeError(msg)
                else:
                    known = self._key_numbers.get(key)
                    number, new = (
                        (known, False) if known is not None else self._new_key(machine, key)
                    )
                ticks = timestamp if type(timestamp) is int else self._ticks(timestamp)
                self._report = None
                return machine.push_trade(
                    number,
                    ticks,
                    price,
                    quantity,
                    is_buyer_maker,
                    agg_trade_id,
                    first_trade_id,
                    last_trade_id,
                )
            except BaseException as error:
                # A trade that is refused leaves no trace.
                if new and machine is not None:
                    machine.forget_key()
                    del self._key_numbers[key]
                if first and not self._finished:
                    self._machine = None
                if isinstance(error, OverflowError):
                    numbers: dict[str, object] = {
                        "timestamp": ticks,
                        "price": price,
                        "quantity": quantity,
                        "agg_trade_id": agg_trade_id,
                        "first_trade_id": first_trade_id,
                        "last_trade_id": last_trade_id,
                    }
                    raise too_large(numbers, self._roles) from error
                raise

    def _first_trade(self, given: dict[str, Any], key: object) -> _internal.BarStream:
        """Guess what trades look like from the first of them."""
        by = self._by_asked
        if isinstance(by, Auto):
            by = ["symbol"] if key is not None else None
        key_values = key_values_of(key, by)
        return self._going(guessed_schema(self._columns, given, by, key_values))

    def _new_key(self, machine: _internal.BarStream, key: object) -> tuple[int, bool]:
        """The number of a key not pushed singly before, and whether nothing of it came before."""
        values = dict(zip(self._by or (), ([v] for v in key_values_of(key, self._by)), strict=True))
        schema = {name: self._schema[name] for name in values}
        number, new = machine.key_number(pl.DataFrame(values, schema=schema))
        self._key_numbers[key] = number
        return number, new

    def _ticks(self, timestamp: object) -> int | None:
        """A time in the unit of the time column."""
        name = self._roles.get("timestamp")
        if timestamp is None or name is None:
            return None
        return ticks_of(timestamp, name, self._schema[name], self._options.time_unit)

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

    def _made_with(self) -> str:
        """What a checkpoint has to say to make the same processor, as JSON."""
        columns = {
            role: {"auto": True} if isinstance(name, Auto) else name
            for role, name in vars(self._columns).items()
        }
        by = {"auto": True} if isinstance(self._by_asked, Auto) else self._by_asked
        return json.dumps({**self._options.to_dict(), "columns": columns, "by": by})

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
        machine = self._machine
        if machine is None:
            return _internal.Checkpoint.initial(self._made_with())
        keys = machine.keys()
        schema = pack(pl.DataFrame(schema=self._schema))
        return machine.checkpoint(
            self._made_with(), schema, pack(keys) if keys is not None else None
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
        try:
            options, columns, by = _read_made_with(checkpoint)
            if on_overlap is not None:
                options = replace(options, on_overlap=on_overlap)
            plain = {field.name: getattr(options, field.name) for field in fields(options)}
            rules = plain.pop("rules")
            processor = cls(rules, columns=columns, by=by, **plain)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the checkpoint's options make no processor: {error}"
            raise CheckpointError(msg) from error
        schema, keys = checkpoint.schema, checkpoint.keys
        if schema is not None:
            machine = processor._start(unpack(schema).schema)
            machine.resume(checkpoint, unpack(keys) if keys is not None else None)
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
        if self._machine is None or self._by or self._options.on_overlap != "skip" or name is None:
            return trades
        last = self._machine.last_time()
        if last is None:
            return trades
        literal = pl.lit(last, dtype=pl.Int64).cast(self._schema[name])
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
        seen = unpack(checkpoint.schema).schema if checkpoint.schema is not None else trades
        ours = _flat(self._options, self._columns, keys_of(self._by_asked, trades))
        options, columns, by = _read_made_with(checkpoint)
        theirs = _flat(options, columns, keys_of(by, seen))
        for name, asked in ours.items():
            if name != "on_overlap" and theirs[name] != asked:
                msg = f"{where} was made with {name}={theirs[name]!r}, not {asked!r}"
                raise CheckpointError(msg)


def _flat(options: BarOptions, columns: TradeColumns, by: list[str] | None) -> dict[str, Any]:
    """What a processor is made with, by the names of its arguments."""
    plain = {field.name: getattr(options, field.name) for field in fields(options)}
    rules = list(plain.pop("rules"))
    rule = rules[0] if len(rules) == 1 else rules
    return {"rule": rule, **plain, "columns": columns, "by": by}


def _read_made_with(
    checkpoint: _internal.Checkpoint,
) -> tuple[BarOptions, TradeColumns, list[str] | Auto | None]:
    """Options, columns and keys of a checkpoint of any version."""
    made: dict[str, Any] = json.loads(checkpoint.options)
    if checkpoint.version == 1:
        # Bars were ranges alone, keys had to be named, and a side was not looked at.
        made["rules"] = [{"range": threshold} for threshold in made.pop("thresholds")]
        made["reset_offset"] = made.pop("offset")
        made["columns"]["side"] = None
    columns: Mapping[str, Any] = made.pop("columns")
    names: dict[str, Any] = {r: AUTO if isinstance(n, dict) else n for r, n in columns.items()}
    by = made.pop("by")
    asked: By = AUTO if isinstance(by, dict) else by
    return BarOptions.from_dict(made), TradeColumns(**names), check_by(asked)
