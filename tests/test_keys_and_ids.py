"""Whose a trade is and which bar it belongs to: keys by default, ids that join, signed counts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rangebar_polars as rb
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.doors import BAR_DOORS, ENGINES, FRAME_DOORS, ID_DOORS, KEYED_DOORS
from tests.support.oracle import oracle_bar_ids, oracle_bars
from tests.support.strategies import trades
from tests.support.trades import paced, walk

RULE = 2000


def three_symbols(rows: int = 600) -> pl.DataFrame:
    """Of prices so far apart that, taken for one symbol, almost every trade closes a bar."""
    scale = pl.col("symbol").replace_strict({"S0": 1, "S1": 10, "S2": 1000}, return_dtype=pl.Int64)
    return walk(rows).with_columns(price=pl.col("price") * scale)


def with_schema(trades: pl.DataFrame, directory: Path, **options: Any) -> dict[str, pl.DataFrame]:
    """Bars from every door that can see which columns there are."""
    eager: Any = trades
    lazy: Any = trades.lazy()
    processor = rb.RangeBarProcessor(RULE, **options)
    halves = [trades[:250], trades[250:]]
    bars = {
        "DataFrame": rb.range_bars(trades, RULE, **options),
        "Arrow": rb.range_bars(trades.to_arrow(), RULE, **options),
        "DataFrame.rangebar": eager.rangebar.bars(RULE, **options),
        "processor": pl.concat([processor.push(half) for half in halves]),
    }
    for engine in ENGINES:
        lazily = rb.range_bars(trades.lazy(), RULE, **options)
        bars[f"LazyFrame, {engine}"] = lazily.collect(engine=engine)
    bars["LazyFrame.rangebar"] = lazy.rangebar.bars(RULE, **options).collect()
    start = rb.RangeBarProcessor(RULE, **options).checkpoint()
    bars["resume_bars"] = rb.resume_bars(trades.lazy(), start)[0].collect()
    pytest.importorskip("filelock")
    rb.update_bars(trades.lazy(), directory / "bars", RULE, **options)
    bars["update_bars"] = pl.read_parquet(directory / "bars")
    return bars


def test_symbols_are_told_apart_unless_asked_not_to(tmp_path: Path) -> None:
    trades = three_symbols()
    told_apart = oracle_bars(trades, RULE, by=["symbol"])
    as_one = oracle_bars(trades, RULE)
    assert as_one.height > 3 * told_apart.height
    for door, bars in with_schema(trades, tmp_path / "default").items():
        assert_bars_equal(bars, told_apart)
        assert bars.columns[0] == "symbol", door
    for bars in with_schema(trades, tmp_path / "none", by=None).values():
        assert_bars_equal(bars, as_one)


def test_trades_without_symbols_are_of_one_key(tmp_path: Path) -> None:
    trades = walk().drop("symbol")
    expected = oracle_bars(trades, RULE)
    for bars in with_schema(trades, tmp_path).values():
        assert_bars_equal(bars, expected)


def test_only_a_column_of_just_that_name_is_taken_for_the_key(tmp_path: Path) -> None:
    trades = three_symbols().rename({"symbol": "Symbol"})
    for bars in with_schema(trades, tmp_path).values():
        assert_bars_equal(bars, oracle_bars(trades, RULE))


def test_ids_are_of_the_same_keys() -> None:
    trades = three_symbols()
    eager: Any = trades
    lazy: Any = trades.lazy()
    choices: list[tuple[dict[str, Any], list[str]]] = [({}, ["symbol"]), ({"by": None}, [])]
    for options, by in choices:
        expected = trades.with_columns(oracle_bar_ids(trades, RULE, by=by))
        assert_same_bits(rb.with_bar_id(trades, RULE, **options), expected)
        assert_same_bits(eager.rangebar.with_bar_id(RULE, **options), expected)
        assert_same_bits(lazy.rangebar.with_bar_id(RULE, **options).collect(), expected)
        for engine in ENGINES:
            ids = rb.with_bar_id(trades.lazy(), RULE, **options).collect(engine=engine)
            assert_same_bits(ids, expected)


LATE: dict[str, tuple[pl.Expr, str]] = {
    "symbol": (pl.col("agg_trade_id").cast(pl.String), "by='symbol', or with by=None"),
    "side": (pl.lit("buy"), r"rb\.normalize"),
}


@pytest.mark.parametrize("name", LATE)
def test_a_column_that_comes_late_is_not_ignored(name: str) -> None:
    """The first batch had none, so no machine was made for it."""
    values, says = LATE[name]
    before = walk(100).select("timestamp", "price", "quantity", "agg_trade_id")
    after = walk(200)[100:].select(*before.columns, values.alias(name))
    for pushed in (after, after.lazy(), after.to_arrow()):
        processor = rb.RangeBarProcessor(250)
        processor.push(before)
        state = processor.checkpoint()
        with pytest.raises(rb.RangeBarError, match=says):
            processor.push(pushed)
        assert processor.checkpoint() == state
        with pytest.raises(rb.RangeBarError, match=says):
            rb.RangeBarProcessor.from_checkpoint(state).push(pushed)
        processor.push(after.drop(name))
    with pytest.raises(rb.RangeBarError, match=says):
        rb.resume_bars(after.lazy(), state)
    # Said beforehand, it is right.
    processor = rb.RangeBarProcessor(250, by=None, columns={"side": None})
    processor.push(before)
    processor.push(after)


TEXTS = (pl.String(), pl.Categorical(), pl.Enum(["buy", "sell"]))


@pytest.mark.parametrize("dtype", TEXTS, ids=str)
def test_a_text_side_is_refused_before_it_is_ignored(dtype: pl.DataType, tmp_path: Path) -> None:
    side = pl.Series("side", ["buy", "sell", "sell"] * 200, dtype=dtype)
    trades = walk(600).drop("is_buyer_maker").with_columns(side)
    says = r"column 'side' is text, .*rb\.normalize\(trades, side='side'\).*columns={'side': None}"
    lazy = trades.lazy()
    namespace: Any = trades
    processor = rb.RangeBarProcessor(250)
    calls = {
        "DataFrame": lambda: rb.range_bars(trades, 250),
        "LazyFrame, before it runs": lambda: rb.range_bars(lazy, 250),
        "Arrow": lambda: rb.range_bars(trades.to_arrow(), 250),
        "namespace": lambda: namespace.rangebar.bars(250),
        "namespace of a LazyFrame": lambda: namespace.lazy().rangebar.bars(250),
        "push": lambda: processor.push(trades),
        "push of a LazyFrame": lambda: processor.push(lazy),
        "schema": lambda: rb.RangeBarProcessor(250, schema=trades.schema),
        "resume_bars": lambda: rb.resume_bars(lazy, rb.RangeBarProcessor(250).checkpoint()),
        "update_bars": lambda: rb.update_bars(lazy, tmp_path / "refused", 250),
    }
    for call in calls.values():
        with pytest.raises(rb.RangeBarError, match=says):
            call()
    assert not (tmp_path / "refused").exists() or not list((tmp_path / "refused").iterdir())
    without = oracle_bars(trades, RULE, by=["symbol"])
    for bars in with_schema(trades, tmp_path / "off", columns={"side": None}).values():
        assert_bars_equal(bars, without)
    # The number of a bar has nothing to do with sides, so nothing is lost.
    ids = oracle_bar_ids(trades, RULE, by=["symbol"])
    for door in ID_DOORS.values():
        assert_same_bits(door(trades, RULE, by="symbol"), trades.with_columns(ids))


def test_a_side_beside_what_it_would_say_is_left_alone(tmp_path: Path) -> None:
    trades = walk().with_columns(side=pl.lit("whatever"))
    expected = oracle_bars(trades, RULE, by=["symbol"])
    for bars in with_schema(trades, tmp_path).values():
        assert_bars_equal(bars, expected)
    # A number is no side that anybody writes: 1 and -1, or a size on that side.
    trades = walk().drop("is_buyer_maker").with_columns(side=1)
    for bars in with_schema(trades, tmp_path / "number").values():
        assert_bars_equal(bars, oracle_bars(trades, RULE, by=["symbol"]))


def test_counts_are_signed() -> None:
    trades = walk(300).with_columns(is_buyer_maker=pl.col("agg_trade_id") % 10 > 0)
    flow = pl.col("buy_trade_count") - pl.col("sell_trade_count")
    for door in BAR_DOORS.values():
        bars = door(trades, 250)
        counts = [name for name in bars.columns if name.endswith("_count")]
        assert len(counts) == 4
        assert {bars.schema[name] for name in counts} == {pl.Int64()}
        by_hand = [
            buys - sells for buys, sells in bars.select(pl.col("^(buy|sell)_trade_count$")).rows()
        ]
        assert bars.select(flow).to_series().to_list() == by_hand
        assert min(by_hand) < 0


CUTS: tuple[dict[str, Any], ...] = (
    {},
    {"reset": "1d"},
    {"max_gap": "1s"},
    {"reset": "1mo", "reset_offset": "17h", "max_gap": "2h"},
)

OF_A_BAR: dict[str, pl.Expr] = {
    "open": pl.col("price").first(),
    "high": pl.col("price").max(),
    "low": pl.col("price").min(),
    "close": pl.col("price").last(),
    "open_time": pl.col("timestamp").first(),
    "close_time": pl.col("timestamp").last(),
    "trade_count": pl.len().cast(pl.Int64),
    "buy_trade_count": (~pl.col("is_buyer_maker")).sum().cast(pl.Int64),
    "first_agg_trade_id": pl.col("agg_trade_id").first(),
    "last_trade_id": pl.col("last_trade_id").last(),
}


def with_calendar(trades: pl.DataFrame) -> pl.DataFrame:
    return trades.with_columns(pl.col("timestamp").cast(pl.Datetime("ms")))


DOORS = {name: door for name, door in KEYED_DOORS.items() if "in-memory" not in name}


@settings(max_examples=40)
@given(
    drawn=trades(keys=3),
    cuts=st.sampled_from(CUTS),
    gate=st.booleans(),
    rules=st.lists(st.sampled_from([1, 25, 250, 99_999]), min_size=1, max_size=3, unique=True),
)
def test_ids_join_trades_with_their_bars(
    drawn: pl.DataFrame, cuts: dict[str, Any], gate: bool, rules: list[int]
) -> None:
    trades = with_calendar(drawn)
    options: dict[str, Any] = {**cuts, "by": "symbol", "same_timestamp_close": gate}
    several = {
        door: run(trades, rules, incomplete="keep", **options) for door, run in DOORS.items()
    }
    for rule in rules:
        ids = rb.with_bar_id(trades, rule, **options)
        by_hand = ids.group_by("symbol", "bar_id", maintain_order=True).agg(**OF_A_BAR)
        for bars in several.values():
            of_rule = bars
            if len(rules) > 1:
                of_rule = bars.filter(threshold_decimal_bps=rule)
            joined = by_hand.join(of_rule, on=["symbol", "bar_id"], how="full", validate="1:1")
            # Every trade has its bar and every bar its trades, those that never closed too.
            assert joined.height == by_hand.height == of_rule.height
            for name in OF_A_BAR:
                assert joined[name].equals(joined[f"{name}_right"].alias(name)), name


@settings(max_examples=40)
@given(drawn=trades(keys=2), cuts=st.sampled_from(CUTS))
def test_ids_of_expressions_are_those_of_frames(drawn: pl.DataFrame, cuts: dict[str, Any]) -> None:
    trades = with_calendar(drawn)
    expected = trades.with_columns(oracle_bar_ids(trades, 250, by=["symbol"], **cuts))
    ids = rb.bar_id(rule=250, **cuts).over("symbol").alias("bar_id")
    assert_same_bits(trades.with_columns(ids), expected)
    for door in ID_DOORS.values():
        assert_same_bits(door(trades, 250, by="symbol", **cuts), expected)
    grouped = (
        trades.group_by("symbol", maintain_order=True)
        .agg(rb.bars(rule=250, incomplete="keep", **cuts))
        .explode("bars")
        .unnest("bars")
    )
    for symbol in trades["symbol"].unique():
        of_one = grouped.filter(symbol=symbol)
        # From 0 on and none left out, in the order in which they opened.
        assert of_one["bar_id"].to_list() == list(range(of_one.height))
        counted = expected.filter(symbol=symbol).group_by("bar_id", maintain_order=True).len()
        assert of_one["trade_count"].to_list() == counted["len"].to_list()


def test_dropping_unfinished_bars_leaves_their_ids_free() -> None:
    times = [datetime(2024, 1, 1), datetime(2024, 1, 1, 1), datetime(2024, 1, 2)] * 2
    trades = pl.DataFrame(
        {"timestamp": sorted(times), "price": [1.0, 1.0, 1.0, 1.0, 1.0, 2.0], "quantity": 1.0}
    )
    for door in BAR_DOORS.values():
        kept = door(trades, 250, reset="1d", incomplete="keep")
        assert kept["bar_id"].to_list() == [0, 1]
        assert kept["is_complete"].to_list() == [False, False]
        closed = door(trades, 250, reset="1d", incomplete="drop", same_timestamp_close=True)
        assert closed["bar_id"].to_list() == [1]


def days_of(trades: pl.DataFrame) -> list[pl.DataFrame]:
    day = trades.with_columns(day=pl.col("timestamp").dt.date())
    return day.partition_by("day", include_key=False, maintain_order=True)


@pytest.mark.parametrize("rules", [[100], [700, 100, 250], [50, 1000]])
def test_a_run_split_at_its_resets_and_joined_is_the_whole(rules: list[int]) -> None:
    trades = paced(walk(700).drop("symbol"), timedelta(minutes=47))
    parts = days_of(trades)
    assert len(parts) > 10
    for door in BAR_DOORS.values():
        whole = door(trades, rules, reset="1d", incomplete="keep")
        joined = pl.concat([door(part, rules, incomplete="keep") for part in parts])
        assert_same_bits(whole.drop("bar_id"), joined.drop("bar_id"))
        assert (~whole["is_complete"]).sum() > len(parts) / 2
        assert_bars_equal(whole, oracle_bars(trades, rules, reset="1d", incomplete="keep"))


@settings(max_examples=40)
@given(drawn=trades(keys=3), rules=st.permutations([1, 250, 20_000]))
def test_so_it_is_for_each_key(drawn: pl.DataFrame, rules: list[int]) -> None:
    # Over several keys it cannot be so: one that is silent is cut off when its next trade comes.
    trades = with_calendar(drawn)
    options: dict[str, Any] = {"by": "symbol", "incomplete": "keep"}
    whole = rb.range_bars(trades, rules, reset="1d", **options).drop("bar_id")
    parts = days_of(trades)
    bars = [rb.range_bars(part, rules, **options).drop("bar_id") for part in parts]
    joined = pl.concat([whole.clear(), *bars])
    for symbol in ("AAA", "BBB", "CCC"):
        # Days of a key follow each other in time, whatever the other keys do.
        mine = (
            joined.filter(symbol=symbol)
            .with_row_index()
            .sort(pl.col("open_time").dt.date(), "index")
        )
        assert_same_bits(whole.filter(symbol=symbol), mine.drop("index"))


def test_bars_that_one_trade_cuts_off_stand_by_their_opening() -> None:
    # The narrow rule's bar opened last, and is asked for first.
    trades = pl.DataFrame(
        {
            "timestamp": [datetime(2024, 1, 1, hour) for hour in (1, 2, 3)]
            + [datetime(2024, 1, 2)],
            "price": [100.0, 100.2, 100.2, 100.2],
            "quantity": 1.0,
        }
    )
    for door in BAR_DOORS.values():
        bars = door(trades, [100, 1000], reset="1d", incomplete="keep")
        assert bars.select("threshold_decimal_bps", "bar_id", "trade_count").rows() == [
            (100, 0, 2),  # closed by the second trade
            (1000, 0, 3),  # cut off by the fourth, opened by the first
            (100, 1, 1),  # cut off by the fourth, opened by the third
            (100, 2, 1),
            (1000, 1, 1),
        ]


def test_frame_doors_agree_on_real_order() -> None:
    trades = paced(three_symbols(3000), timedelta(minutes=14))
    rules = [1000, 100, 400]
    options: dict[str, Any] = {"reset": "1d", "max_gap": "50m", "incomplete": "keep"}
    expected = oracle_bars(trades, rules, by=["symbol"], **options)
    for door in FRAME_DOORS.values():
        assert_bars_equal(door(trades, rules, by="symbol", **options), expected)
