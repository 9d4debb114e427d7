"""Blocks of CSV to frames of trades: several at a time, in order, and strict.

Polars parses a block at full speed but takes a line that ends early for one with nulls, and does
not say which line broke. So nothing but good values passes, and only when something else turns
up is the block gone through line by line, to say where.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
from polars.exceptions import PolarsError

from rangebar_polars.binance.errors import ArchiveError, BrokenLineError
from rangebar_polars.store.ordered import ordered_map
from rangebar_polars.store.span import DAY_US, day_number
from rangebar_polars.store.typed import as_dtype

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from rangebar_polars.binance.files import ArchiveFile, Feed

__all__ = ["decode_csv", "time_factor"]

_US_FROM = 10**13
"""Times above are microseconds, below milliseconds: the year 2286 in the one, 1970 in the other."""

_INTEGER = re.compile(rb"-?\d+")
_BOOLEANS = {b"true", b"false", b"True", b"False"}
_NEWLINE = b"\n"


def time_factor(time: int) -> int:
    """Return how many microseconds a time counts in, judged by its magnitude."""
    return 1 if time > _US_FROM else 1000


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
        At a line that is no trade, or no trade of this file's days.
    ArchiveError
        Where the columns are not those of this kind of file.
    """
    # One more than cores: the consumer of the frames waits for the disk now and then.
    workers = workers or min(4, os.cpu_count() or 1) + 1
    line = 1
    with closing(ordered_map(_parse, _prepared(blocks, file), workers)) as parsed:
        for block, frame in parsed:
            line += block.skipped
            if frame is None:
                raise _broken_line(block.text, block.form, line)
            line += frame.height
            yield frame


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
                text, skipped = _without_header(block, file)
            if not text:
                continue
            form = _Form(file, _sniff_factor(text, file, 1 + skipped))
        yield _Block(text, skipped, form)
        skipped = 0


def _without_header(block: bytes, file: ArchiveFile) -> tuple[bytes, int]:
    if block[:1].isdigit():
        return block, 0
    head, _, rest = block.partition(_NEWLINE)
    names = head.decode("utf-8", "replace").strip().split(",")
    expected = len(file.feed.csv_columns)
    if len(names) != expected or not names[0].strip().isidentifier():
        if any(cell.strip().replace(".", "").isdigit() for cell in names):
            raise BrokenLineError(file.name, 1, head.decode("utf-8", "replace"), "no trade")
        raise ArchiveError(file.name, f"expected a header of {expected} columns, got {names}")
    return rest, 1


def _sniff_factor(block: bytes, file: ArchiveFile, line: int) -> int:
    head = block.partition(_NEWLINE)[0]
    reason = _fault(head, file.feed)
    if reason is not None:
        raise BrokenLineError(file.name, line, head.decode("utf-8", "replace"), reason)
    at = list(file.feed.csv_columns).index("time")
    return time_factor(int(head.split(b",")[at]))


def _parse(block: _Block) -> tuple[_Block, pl.DataFrame | None]:
    """Parse a block; None where any line of it is no trade."""
    return block, _trades(block.text, block.form)


def _trades(text: bytes, form: _Form) -> pl.DataFrame | None:
    feed = form.file.feed
    try:
        raw = pl.read_csv(
            text, has_header=False, schema=feed.csv_columns, quote_char=None, glob=False
        )
    except PolarsError:
        return None
    low, high = form.limits
    time = raw["time"] if form.factor == 1 else raw["time"] * form.factor
    price, quantity = raw["price"], raw["quantity"]
    good = (
        not any(column.null_count() for column in raw.iter_columns())
        # A sum tells of NaN and infinity in one pass; a minimum overlooks NaN.
        and math.isfinite(price.sum())
        and math.isfinite(quantity.sum())
        and _least(price) > 0
        and _least(quantity) >= 0
        and low <= _least(time)
        and _most(time) < high
    )
    if not good:
        return None
    columns = [as_dtype(time, pl.Datetime("us")).alias("timestamp")]
    if feed.kind == "trades":
        ids = [raw["agg_trade_id"].alias(name) for name in ("first_trade_id", "last_trade_id")]
        raw = raw.with_columns(ids)
    columns += [raw[name] for name in feed.schema if name != "timestamp"]
    return pl.DataFrame(columns)


def _least(values: pl.Series) -> float:
    low = values.min()
    return low if isinstance(low, (int, float)) else math.nan


def _most(values: pl.Series) -> float:
    high = values.max()
    return high if isinstance(high, (int, float)) else math.nan


def _broken_line(block: bytes, form: _Form, line: int) -> ArchiveError:
    name, feed = form.file.name, form.file.feed
    low, high = form.limits
    at = list(feed.csv_columns).index("time")
    lines = block.split(_NEWLINE)
    if lines[-1] == b"":
        del lines[-1]
    for offset, head in enumerate(lines):
        reason = _fault(head, feed)
        if reason is None and not low <= int(head.split(b",")[at]) * form.factor < high:
            first, last = form.file.first_day, form.file.last_day
            reason = f"its time is not of {first}" + (f" to {last}" if last != first else "")
        if reason is not None:
            return BrokenLineError(name, line + offset, head.decode("utf-8", "replace"), reason)
    return ArchiveError(name, f"lines {line} to {line + len(lines) - 1} cannot be read")


def _fault(head: bytes, feed: Feed) -> str | None:
    """Say what keeps a line from being a trade; None where it is one."""
    cells = head.split(b",")
    columns = feed.csv_columns
    if len(cells) != len(columns):
        return f"expected {len(columns)} fields, got {len(cells)}"
    for cell, (name, dtype) in zip(cells, columns.items(), strict=True):
        if dtype == pl.Boolean:
            good = cell in _BOOLEANS
        elif dtype == pl.Int64:
            good = _INTEGER.fullmatch(cell) is not None and abs(int(cell)) < 2**63
        else:
            good = _good_number(cell, name)
        if not good:
            return f"{name} is no {_WORDS.get(name, 'value for it')}"
    return None


_WORDS = {
    "agg_trade_id": "integer",
    "first_trade_id": "integer",
    "last_trade_id": "integer",
    "time": "integer",
    "price": "number above 0",
    "quantity": "number from 0 up",
    "quote_quantity": "number",
    "base_quantity": "number",
    "is_buyer_maker": "boolean",
    "is_best_match": "boolean",
}


def _good_number(cell: bytes, name: str) -> bool:
    try:
        value = float(cell)
    except ValueError:
        return False
    if not math.isfinite(value) or cell != cell.strip():
        return False
    return value > 0 if name == "price" else value >= 0 or name != "quantity"
