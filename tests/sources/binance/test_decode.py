"""CSV to trades: what is found out about a file, and lines that are none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import get_args

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from rangebar_polars._time import DAY_US, day_number
from rangebar_polars.sources.binance import ArchiveError, BrokenLineError
from rangebar_polars.sources.binance.decode import decode_csv, time_factor
from rangebar_polars.sources.binance.files import ArchiveFile, Feed, Kind, Market
from tests.support.made_files import csv_text, day_trades

DAY = date(2024, 1, 5)
FEEDS = [Feed("X", market, kind) for market in get_args(Market) for kind in get_args(Kind)]


def blocks(text: str, size: int) -> Iterator[bytes]:
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text.encode())
    for at in range(0, len(lines), size):
        yield b"".join(lines[at : at + size])


def decoded(text: str, feed: Feed, *, lines: int = 7, day: date = DAY) -> pl.DataFrame:
    return pl.concat(decode_csv(blocks(text, lines), ArchiveFile(feed, day, day)))


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.source)
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("title", [False, True])
def test_every_form_of_file(feed: Feed, header: bool, unit: str, title: bool) -> None:
    trades = day_trades(feed, DAY)
    text = csv_text(feed, trades, header=header, unit=unit, title=title)
    for lines in (1, 7, 1000):
        assert_frame_equal(decoded(text, feed, lines=lines), trades, check_exact=True)


def test_a_last_line_without_its_newline() -> None:
    feed = FEEDS[0]
    trades = day_trades(feed, DAY)
    assert_frame_equal(decoded(csv_text(feed, trades).rstrip("\n"), feed), trades)


def test_an_empty_file_has_no_trades() -> None:
    file = ArchiveFile(FEEDS[0], DAY, DAY)
    assert list(decode_csv([], file)) == []
    header = ",".join(FEEDS[0].csv_columns).encode() + b"\n"
    assert list(decode_csv([header], file)) == []


def test_zero_quantities_are_legal() -> None:
    feed = Feed("X", "um")
    trades = day_trades(feed, DAY).with_columns(quantity=pl.lit(0.0))
    assert decoded(csv_text(feed, trades), feed)["quantity"].sum() == 0.0


@given(st.integers(2010, 2285), st.booleans())
def test_the_unit_of_time_is_told_by_its_magnitude(year: int, micro: bool) -> None:
    ms = int(datetime(year, 6, 1).timestamp()) * 1000
    assert time_factor(ms * 1000 if micro else ms) == (1 if micro else 1000)


BROKEN = [
    ("101,100.01", "expected 7 fields, got 2"),
    ("101,100.01,0.001,1,2,1704412800000,true,true", "expected 7 fields, got 8"),
    ("", "expected 7 fields, got 1"),
    ("x,100.01,0.001,1,2,1704412800000,true", "agg_trade_id is not an integer"),
    ("101,abc,0.001,1,2,1704412800000,true", "price is not a number above 0"),
    ("101,,0.001,1,2,1704412800000,true", "price is not a number above 0"),
    ("101,0,0.001,1,2,1704412800000,true", "price is not a number above 0"),
    ("101,nan,0.001,1,2,1704412800000,true", "price is not a number above 0"),
    ("101,inf,0.001,1,2,1704412800000,true", "price is not a number above 0"),
    ("101,100.01,-1,1,2,1704412800000,true", "quantity is not a number from 0 up"),
    ("101,100.01,0.001,1,2.5,1704412800000,true", "last_trade_id is not an integer"),
    ("101,100.01,0.001,1,2,1704412800000,yes", "is_buyer_maker is not true or false"),
    ("101,100.01,0.001,1,2,1704412800000,tr", "is_buyer_maker is not true or false"),
    ("101,100.01,0.001,1,2,1704412800000000,true", "its time is not of 2024-01-05"),
    ("101,100.01,0.001,1,2,1604412800000,true", "its time is not of 2024-01-05"),
    (
        "101,100.01,0.001,1,99999999999999999999,1704412800000,true",
        "last_trade_id is not an integer",
    ),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN)
@pytest.mark.parametrize("header", [False, True])
def test_a_broken_line_is_named(line: str, reason: str, header: bool) -> None:
    feed = Feed("BTCUSDT", "um")
    lines = csv_text(feed, day_trades(feed, DAY), header=header).splitlines()
    at = 20
    lines[at] = line
    with pytest.raises(BrokenLineError) as raised:
        decoded("\n".join(lines) + "\n", feed)
    error = raised.value
    assert (error.file, error.line, error.text) == (
        "BTCUSDT-aggTrades-2024-01-05.zip",
        at + 1,
        line,
    )
    assert error.reason == reason
    assert str(error) == f"{error.file}: line {at + 1}: {reason}: {line!r}"


HEADERS = [
    (
        "um",
        "aggTrades",
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    ),
    ("um", "aggTrades", "aggTradeId,price,qty,firstTradeId,lastTradeId,time,isBuyerMaker"),
    ("um", "trades", "id,price,qty,quote_qty,time,is_buyer_maker"),
    ("um", "trades", "id,price,qty,quoteQty,time,isBuyerMaker\r"),
    ("cm", "trades", "id,price,qty,base_qty,time,is_buyer_maker"),
    ("spot", "trades", "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch"),
]


@pytest.mark.parametrize(("market", "kind", "header"), HEADERS)
def test_a_header_that_is_known(market: Market, kind: Kind, header: str) -> None:
    feed = Feed("X", market, kind)
    trades = day_trades(feed, DAY)
    assert_frame_equal(decoded(f"{header}\n{csv_text(feed, trades)}", feed), trades)


@pytest.mark.parametrize(
    "first",
    ["e51", "-", "", " 51", "x", "agg_trade_id", "\ufeff51", "\x00"],
)
def test_a_damaged_first_trade_is_not_a_header(first: str) -> None:
    feed = Feed("BTCUSDT", "um")
    lines = csv_text(feed, day_trades(feed, DAY)).splitlines()
    lines[0] = f"{first},{lines[0].partition(',')[2]}"
    with pytest.raises(BrokenLineError) as raised:
        decoded("\n".join(lines), feed)
    assert (raised.value.line, raised.value.text) == (1, lines[0])


@pytest.mark.parametrize(
    "header",
    [
        "a,b,c",
        # In another order, or of other columns.
        "agg_trade_id,quantity,price,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        "id,price,qty,quote_qty,time,is_buyer_maker",
        "<html>",
        "",
    ],
)
def test_a_header_of_other_columns(header: str) -> None:
    feed = Feed("BTCUSDT", "um")
    text = csv_text(feed, day_trades(feed, DAY))
    with pytest.raises(ArchiveError, match="line 1: expected a header with the columns agg_trade"):
        decoded(f"{header}\n{text}", feed)


def test_lines_behind_a_header_count_from_it() -> None:
    feed = Feed("BTCUSDT", "um")
    text = csv_text(feed, day_trades(feed, DAY))
    with pytest.raises(BrokenLineError, match="line 1"):
        decoded("garbage,1\n" + text, feed)
    with pytest.raises(BrokenLineError, match="line 2: expected 7 fields, got 1"):
        decoded(",".join(feed.csv_columns) + "\n\n" + text, feed)


def test_columns_of_another_market_are_refused() -> None:
    spot, futures = Feed("X", "spot"), Feed("X", "um")
    with pytest.raises(BrokenLineError, match="expected 7 fields, got 8"):
        decoded(csv_text(spot, day_trades(spot, DAY)), futures)


def as_trade(line: str, feed: Feed) -> tuple[float | bool, ...] | None:
    """Read a line as the format's description says, slowly; None where it is no trade."""
    cells = line.removesuffix("\r").split(",")
    if len(cells) != len(feed.csv_columns):
        return None
    row: dict[str, float | bool] = {}
    for cell, (name, dtype) in zip(cells, feed.csv_columns.items(), strict=True):
        if dtype == pl.Boolean:
            if cell not in {"true", "false", "True", "False"}:
                return None
            row[name] = cell in {"true", "True"}
        elif dtype == pl.Int64:
            if not re.fullmatch("-?[0-9]+", cell):
                return None
            row[name] = int(cell)
        else:
            if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", cell):
                return None
            row[name] = float(cell)
            if math.isinf(row[name]):
                return None
    day = row["time"] * 1000 // DAY_US
    if row["price"] <= 0 or row["quantity"] < 0 or abs(day - day_number(DAY)) > 1:
        return None
    return tuple(row[name] for name in feed.csv_columns)


@given(st.data())
def test_a_line_with_a_changed_character_is_read_or_named(data: st.DataObject) -> None:
    feed = Feed("BTCUSDT", "um")
    text = csv_text(feed, day_trades(feed, DAY, rows=20))
    at = data.draw(st.integers(0, len(text) - 2))
    change = data.draw(st.sampled_from([*"0159.,-+eE x\r", ""]))
    text = text[:at] + change + text[at + 1 :]
    lines = text.removesuffix("\n").split("\n")
    expected = [as_trade(line, feed) for line in lines]
    try:
        found = decoded(text, feed).with_columns(
            time=pl.col("timestamp").dt.epoch("ms"),
        )
    except BrokenLineError as error:
        assert expected.index(None) == error.line - 1
        assert error.text == lines[error.line - 1]
    else:
        assert found.select(list(feed.csv_columns)).rows() == expected


def test_whoever_leaves_early_ends_the_parsing() -> None:
    feed = FEEDS[0]
    text = csv_text(feed, day_trades(feed, DAY, rows=500))
    taken: list[bytes] = []

    def counted() -> Iterator[bytes]:
        for block in blocks(text, 5):
            taken.append(block)
            yield block

    frames = decode_csv(counted(), ArchiveFile(feed, DAY, DAY), workers=2)
    assert next(iter(frames)).height == 5
    frames.close()
    assert len(taken) < 10
