"""Blocks of CSV to frames of trades: several at a time, in order, and strict.

The lines are read by `src/csv.rs`, which names the first one that is not a trade. Polars' own CSV
reader takes a line that ends early for one with nulls and does not say which line broke, so that
all it returns has to be checked again; called block by block it took twice as long, and added 35 MB
to the peak of a month.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from rangebar_polars._internal import parse_csv
from rangebar_polars._time import DAY_US, day_number
from rangebar_polars.sources.binance.errors import BrokenLineError
from rangebar_polars.sources.binance.header import without_header
from rangebar_polars.store.ordered import ordered_map

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from rangebar_polars.sources.binance.files import ArchiveFile, Feed

__all__ = ["decode_csv", "line_of_trade", "time_factor"]

_US_FROM = 10**13
"""Times above are microseconds, below milliseconds: the year 2286 in the one, 1970 in the other."""

_NEWLINE = b"\n"
_ANY_TIME = (-(2**63), 2**63 - 1)


def time_factor(time: int) -> int:
    """Return how many microseconds a time counts in, judged by its magnitude."""
    return 1 if time > _US_FROM else 1000


@dataclass(frozen=True)
class _Fault:
    """A line of a block that is not a trade."""

    line: int
    text: bytes
    reason: str | None
    """None where its time lies outside the limits."""

    def error(self, file: ArchiveFile, first_line: int) -> BrokenLineError:
        reason = self.reason
        if reason is None:
            first, last = file.first_day, file.last_day
            reason = f"its time is not of {first}" + (f" to {last}" if last != first else "")
        text = self.text.decode("utf-8", "replace")
        return BrokenLineError(file.name, first_line + self.line, text, reason)


@dataclass(frozen=True)
class _Form:
    """What was found out at the head of the file, and holds for all of it."""

    file: ArchiveFile
    factor: int

    @property
    def limits(self) -> tuple[int, int]:
        """Times that this file can hold: its days, and one on either side for strays."""
        day = timedelta(days=1)
        first, last = self.file.first_day - day, self.file.last_day + day
        return day_number(first) * DAY_US, (day_number(last) + 1) * DAY_US


def decode_csv(
    blocks: Iterable[bytes], file: ArchiveFile, workers: int | None = None
) -> Generator[pl.DataFrame]:
    """Yield the trades of a CSV, block by block.

    The header, the unit of time and the spelling of booleans are found out, not assumed.

    Raises
    ------
    BrokenLineError
        At a line that is not a trade, or not one of this file's days.
    ArchiveError
        Where the columns are not those of this kind of file.
    """
    # One more than cores: the consumer of the frames waits for the disk now and then.
    workers = workers or min(4, os.cpu_count() or 1) + 1
    line = 1
    with closing(ordered_map(_parse, _prepared(blocks, file), workers)) as parsed:
        for skipped, found in parsed:
            line += skipped
            if isinstance(found, _Fault):
                raise found.error(file, line)
            line += found.height
            yield found


def line_of_trade(blocks: Iterable[bytes], file: ArchiveFile, row: int) -> tuple[int, str]:
    """Return the number of the line that a row came from, and its text."""
    line = 1
    for block in blocks:
        text = block
        if line == 1:
            text, skipped = without_header(block, file)
            line += skipped
            row += line
        lines = text.removesuffix(_NEWLINE).split(_NEWLINE)
        if row - line < len(lines):
            return row, lines[row - line].decode("utf-8", "replace").removesuffix("\r")
        line += len(lines)
    msg = f"{file.name} has fewer than {row} lines"
    raise IndexError(msg)


@dataclass(frozen=True)
class _Block:
    text: bytes
    skipped: int
    """Lines of a header that stood in front."""
    form: _Form


def _prepared(blocks: Iterable[bytes], file: ArchiveFile) -> Iterator[_Block]:
    form: _Form | None = None
    skipped = 0
    for block in blocks:
        text = block
        if form is None:
            if not skipped:
                text, skipped = without_header(block, file)
            if not text:
                continue
            form = _Form(file, _sniff_factor(text, file, 1 + skipped))
        yield _Block(text, skipped, form)
        skipped = 0


def _sniff_factor(block: bytes, file: ArchiveFile, line: int) -> int:
    head = block.partition(_NEWLINE)[0]
    found = _parsed(head + _NEWLINE, file.feed, 1, _ANY_TIME)
    if isinstance(found, _Fault):
        raise found.error(file, line)
    return time_factor(int(found["timestamp"].to_physical()[0]))


def _parse(block: _Block) -> tuple[int, pl.DataFrame | _Fault]:
    feed, form = block.form.file.feed, block.form
    found = _parsed(block.text, feed, form.factor, form.limits)
    if isinstance(found, _Fault):
        return block.skipped, found
    if feed.kind == "trades":
        ids = [found["agg_trade_id"].alias(name) for name in ("first_trade_id", "last_trade_id")]
        found = found.with_columns(ids)
    return block.skipped, found.select(list(feed.schema))


def _parsed(text: bytes, feed: Feed, factor: int, limits: tuple[int, int]) -> pl.DataFrame | _Fault:
    fields = [_field(name, dtype) for name, dtype in feed.csv_columns.items()]
    frame, fault = parse_csv(text, fields, factor, limits)
    if fault is not None:
        return _Fault(*fault)
    assert frame is not None
    return frame


def _field(name: str, dtype: pl.DataType) -> tuple[str, str]:
    """Return what a column is called in a frame, and what the parser is to make of it."""
    if name == "time":
        return "timestamp", "time"
    if name in {"price", "quantity"}:
        return name, name
    if dtype == pl.Boolean:
        return name, "boolean"
    return name, "integer" if dtype == pl.Int64 else "number"
