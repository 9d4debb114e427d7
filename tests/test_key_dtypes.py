"""Keys keep their dtypes, whatever door they come by; a key is what it is, and nothing like it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rangebar_polars as rb

pa = pytest.importorskip("pyarrow")

MORNING = datetime(2024, 1, 1)
POINT = {"x": 1, "y": 2}

CHANGES: dict[str, tuple[pl.Series, pl.Series]] = {
    "enum": (
        pl.Series(["A", "B"], dtype=pl.Enum(["A", "B"])),
        pl.Series(["A", "B"], dtype=pl.Enum(["B", "A"])),
    ),
    "longer enum": (
        pl.Series(["A", "B"], dtype=pl.Enum(["A", "B"])),
        pl.Series(["A", "B"], dtype=pl.Enum(["A", "B", "C"])),
    ),
    "enum, then text": (
        pl.Series(["A", "B"], dtype=pl.Enum(["A", "B"])),
        pl.Series(["A", "B"]),
    ),
    "categories": (
        pl.Series(["A", "B"], dtype=pl.Categorical(pl.Categories("one"))),
        pl.Series(["A", "B"], dtype=pl.Categorical(pl.Categories("other"))),
    ),
    "unit": (
        pl.Series([MORNING] * 2, dtype=pl.Datetime("us")),
        pl.Series([MORNING] * 2, dtype=pl.Datetime("ms")),
    ),
    "zone": (
        pl.Series([MORNING] * 2, dtype=pl.Datetime("us")),
        pl.Series([MORNING] * 2).dt.replace_time_zone("Asia/Tokyo"),
    ),
    "duration": (
        pl.Series([timedelta(1)] * 2, dtype=pl.Duration("us")),
        pl.Series([timedelta(1)] * 2, dtype=pl.Duration("ns")),
    ),
    "scale": (
        pl.Series([Decimal("1.5")] * 2, dtype=pl.Decimal(38, 1)),
        pl.Series([Decimal("1.5")] * 2, dtype=pl.Decimal(38, 2)),
    ),
    "order of fields": (
        pl.Series([POINT] * 2),
        pl.Series([POINT] * 2).struct.unnest().select("y", "x").to_struct(),
    ),
    "enum in a struct": (
        pl.Series([{"x": "A"}] * 2, dtype=pl.Struct({"x": pl.Enum(["A", "B"])})),
        pl.Series([{"x": "A"}] * 2, dtype=pl.Struct({"x": pl.Enum(["B", "A"])})),
    ),
    "width": (pl.Series([1, 2], dtype=pl.Int32), pl.Series([1, 2], dtype=pl.Int64)),
    "boolean": (pl.Series([1, 1]), pl.Series([True, True])),
    "null": (pl.Series(["A", "B"]), pl.Series([None, None])),
}


def trades(keys: pl.Series) -> pl.DataFrame:
    numbers = pl.DataFrame(
        {"timestamp": [1, 2], "price": [100.0, 5.0], "quantity": [1.0, 1.0]},
    )
    return numbers.with_columns(keys.alias("key"))


DOORS: dict[str, Callable[[rb.RangeBarProcessor, pl.DataFrame], Any]] = {
    "push": lambda processor, other: processor.push(other),
    "push of a plan": lambda processor, other: processor.push(other.lazy()),
    "push of parts": lambda processor, other: processor.push(
        pl.concat([other[:1], other[1:]], rechunk=False).lazy()
    ),
    "bars_schema": lambda processor, other: rb.resume_bars(other.lazy(), processor.checkpoint())[
        0
    ].collect(),
    "after a checkpoint": lambda processor, other: rb.RangeBarProcessor.from_checkpoint(
        processor.checkpoint()
    ).push(other),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("change", CHANGES)
def test_keys_of_another_dtype_are_refused_and_leave_no_trace(change: str, door: str):
    before, after = CHANGES[change]
    processor = rb.RangeBarProcessor(250, by="key", incomplete="keep")
    processor.push(trades(before))
    state = processor.checkpoint()
    for _ in range(2):
        with pytest.raises(rb.RangeBarError, match=r"column 'key' was .*, and is .* now") as said:
            DOORS[door](processor, trades(after))
        was, now = str(said.value).split(" in the batches before, and is ")
        assert was.removeprefix("column 'key' was ") != now.removesuffix(" now")
        assert processor.checkpoint() == state
    # And it goes on with the keys that it knows.
    more = trades(before).with_columns(timestamp=pl.lit(9, pl.Int64), price=101.0)
    assert processor.push(more).height == 2 or before.n_unique() == 1
    assert processor.open_bars().height <= 2


@pytest.mark.parametrize("change", ["enum", "unit", "order of fields"])
def test_a_data_set_keeps_the_dtypes_of_its_keys(change: str, tmp_path: Path):
    pytest.importorskip("filelock")
    before, after = CHANGES[change]
    rb.update_bars(trades(before).lazy(), tmp_path / "bars", 250, by="key")
    with pytest.raises(rb.RangeBarError, match="column 'key' was"):
        rb.update_bars(trades(after).lazy(), tmp_path / "bars", 250, by="key")


def test_equal_dtypes_are_the_same_however_they_were_made():
    processor = rb.RangeBarProcessor(250, by="key", incomplete="keep")
    for number in range(3):
        for keys in (
            pl.Series(["A", "B"], dtype=pl.Enum(["A", "B"])),
            pl.Series(["A", "B"]).cast(pl.Enum(pl.Series(["A", "B"]))),
        ):
            frame = trades(keys).with_columns(timestamp=pl.lit(number, pl.Int64))
            processor.push(frame)
            processor.push(frame.lazy())
    assert processor.open_bars()["trade_count"].to_list() == [12, 12]


def test_objects_cannot_be_keys():
    keys = pl.Series([object(), object()], dtype=pl.Object)
    processor = rb.RangeBarProcessor(250, by="key")
    for call in (
        lambda: processor.push(trades(keys)),
        lambda: rb.range_bars(trades(keys), 250, by="key"),
        lambda: processor.push_trade(timestamp=1, price=1.0, quantity=1.0, key=object()),
    ):
        with pytest.raises(rb.RangeBarError, match="column 'key' holds Python objects"):
            call()
    assert processor.push(trades(pl.Series([b"A", b"B"]))).height == 0
    with pytest.raises(rb.RangeBarError, match="column 'key' holds Python objects"):
        processor.push(trades(keys))


ALIKE: list[list[Any]] = [
    [1, True, 1.0, "1", Decimal(1)],
    [True, 1, 1.0],
    [1.0, 1, True, "1.0", 1.5 + 0j],
    ["1", 1, b"1"],
    [b"1", "1"],
    [date(2024, 1, 1), datetime(2024, 1, 1, 5), "2024-01-01", 19723],
    [MORNING, date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01"],
    [Decimal("1.50"), Decimal("1.505"), 1.5, "1.50"],
]


@pytest.mark.parametrize("keys", ALIKE, ids=repr)
def test_what_is_like_a_key_is_not_taken_for_it(keys: list[Any]):
    first, *others = keys
    processor = rb.RangeBarProcessor(250, by="key", incomplete="keep")

    def push(key: Any) -> None:
        processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key=key)

    for _ in range(2):
        push(first)
        state = processor.checkpoint()
        for other in others:
            with pytest.raises((rb.RangeBarError, TypeError)):
                push(other)
            assert processor.checkpoint() == state
    assert processor.open_bars()["trade_count"].to_list() == [2]


def test_tuples_of_what_is_alike():
    processor = rb.RangeBarProcessor(250, by=["k", "n"], incomplete="keep")
    for key in [("a", 1), ("a", 2), ("b", 1), ("a", None), ("a", 1)]:
        processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key=key)
    for key in [("a", True), ("a", 1.0), ("a",), "a", ("a", 1, 1), None]:
        with pytest.raises((rb.RangeBarError, TypeError), match="key"):
            processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key=key)
    assert processor.open_bars()["trade_count"].to_list() == [2, 1, 1, 1]


def test_two_times_of_a_clock_that_is_set_back():
    zone = pytest.importorskip("zoneinfo").ZoneInfo("Europe/Berlin")
    times = [datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=fold) for fold in (0, 1, 0)]
    processor = rb.RangeBarProcessor(250, by="key", incomplete="keep")
    for time in times:
        processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key=time)
    assert processor.open_bars()["trade_count"].to_list() == [2, 1]


def test_a_refused_trade_of_a_new_key_is_forgotten_wholly():
    processor = rb.RangeBarProcessor(250, by="key", incomplete="keep")
    processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key="a")
    for _ in range(3):
        with pytest.raises(rb.InvalidTradeError):
            processor.push_trade(timestamp=1, price=-5.0, quantity=1.0, key="b")
        with pytest.raises(TypeError):
            processor.push_trade(timestamp=1, price=5.0, key="b")
    processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key="c")
    assert processor.open_bars()["key"].to_list() == ["a", "c"]


@pytest.mark.parametrize("by", ["key", None])
def test_a_refused_first_push_does_not_fix_the_schema(by: str | None):
    good = trades(pl.Series(["A", "B"]))
    bad = good.with_columns(price=pl.lit(-1, pl.Int32), timestamp=pl.lit(MORNING))
    bad = bad.with_columns(pl.col("key").cast(pl.Categorical))
    for refused in (bad, bad.lazy(), bad.to_arrow(), pl.concat([bad, bad], rechunk=False)):
        processor = rb.RangeBarProcessor(250, by=by)
        new = processor.checkpoint()
        with pytest.raises(rb.InvalidTradeError):
            processor.push(refused)
        with pytest.raises(rb.InvalidTradeError):
            processor.push_trade(
                timestamp=MORNING, price=-1.0, quantity=1.0, key="A" if by else None
            )
        assert processor.checkpoint() == new
        processor.push(good)


GROUPS: dict[str, Callable[[pl.DataFrame, pl.Expr], Any]] = {
    "over": lambda frame, made: frame.select(made.over("g")),
    "group_by": lambda frame, made: frame.group_by("g", maintain_order=True).agg(made),
    "rolling": lambda frame, made: frame.rolling("i", period="2i").agg(made),
    "select": lambda frame, made: frame.select(made),
}


@pytest.mark.parametrize("group", GROUPS)
def test_errors_within_groups_name_the_column_and_what_rows_count(group: str):
    frame = pl.DataFrame(
        {
            "i": [1, 2, 3, 4],
            "t": [1, 2, 3, 4],
            "px": [1.0, 2.0, float("nan"), 3.0],
            "g": ["a", "a", "b", "b"],
        }
    )
    row = {"select": 2, "rolling": 1}.get(group, 0)
    for price in ("px", pl.col("px"), pl.col("px") * 2):
        made = rb.bar_id(price, "t", rule=250)
        with pytest.raises(pl.exceptions.ComputeError) as raised:
            GROUPS[group](frame, made)
        assert (
            f"column 'px', row {row}: price must be finite, got NaN (row 0 is the first row of "
            "the column, or of the group within over, group_by or rolling)" in str(raised.value)
        )


def test_literals_in_expressions_on_no_rows():
    empty = pl.DataFrame(
        schema={"timestamp": pl.Int64, "price": pl.Float64, "g": pl.String},
    )
    made = rb.bars("price", "timestamp", pl.lit(1.0), rule=250)
    ids = rb.bar_id("price", pl.lit(1, pl.Int64), rule=250)
    for frame in (empty, empty.lazy()):
        for plan in (
            frame.select(made),
            frame.select(ids),
            frame.with_columns(ids),
            frame.with_columns(ids.over("g")),
            frame.group_by("g").agg(made),
        ):
            assert plan.lazy().collect().height == 0
    none = pl.col("price").filter(pl.col("price") > 9)
    one = pl.DataFrame({"price": [1.0], "g": ["a"]})
    ids = rb.bar_id(none, pl.lit(1, pl.Int64), rule=250)
    assert one.group_by("g").agg(ids)["bar_id"].to_list() == [[]]
