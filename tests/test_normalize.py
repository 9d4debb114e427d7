"""`normalize`: vendors against frames written by hand, times and prices against exact oracles."""
# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.exceptions import ColumnNotFoundError, DuplicateError, PolarsError
from polars.testing import assert_frame_equal

import rangebar_polars as rb
from rangebar_polars._vendors import VENDORS, binance_columns
from rangebar_polars.exceptions import InvalidTradeError, RangeBarError

US, NS = pl.Datetime("us"), pl.Datetime("ns")
DTYPES = {
    "price": pl.Float64,
    "quantity": pl.Float64,
    "is_buyer_maker": pl.Boolean,
    "agg_trade_id": pl.Int64,
    "first_trade_id": pl.Int64,
    "last_trade_id": pl.Int64,
}


def us(*texts: str) -> pl.Series:
    return pl.Series([datetime.fromisoformat(text) for text in texts], dtype=US)


def ns(*counts: int) -> pl.Series:
    return pl.Series(counts, dtype=pl.Int64).cast(NS)


# Each: what the vendor writes, and the same trades as written by hand.
VENDOR_FRAMES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "aggTrades of futures, with their header": (
        "binance",
        {
            "agg_trade_id": [7, 8],
            "price": ["27123.10", "27123.2"],
            "quantity": ["0.001", "12"],
            "first_trade_id": [70, 75],
            "last_trade_id": [74, 75],
            "transact_time": [1660176000123, 1660176000124],
            "is_buyer_maker": ["true", "false"],
        },
        {
            "agg_trade_id": [7, 8],
            "price": [27123.1, 27123.2],
            "quantity": [0.001, 12.0],
            "first_trade_id": [70, 75],
            "last_trade_id": [74, 75],
            "timestamp": us("2022-08-11T00:00:00.123", "2022-08-11T00:00:00.124"),
            "is_buyer_maker": [True, False],
        },
    ),
    "aggTrades of the REST service, spot, milliseconds and microseconds": (
        "binance",
        {
            "a": [7, 8],
            "p": ["0.2", "0.21"],
            "q": ["50", "1"],
            "f": [70, 75],
            "l": [74, 75],
            "T": [1735689599999, 1735689600010866],
            "m": [False, True],
            "M": [True, True],
        },
        {
            "agg_trade_id": [7, 8],
            "price": [0.2, 0.21],
            "quantity": [50.0, 1.0],
            "first_trade_id": [70, 75],
            "last_trade_id": [74, 75],
            "timestamp": us("2024-12-31T23:59:59.999", "2025-01-01T00:00:00.010866"),
            "is_buyer_maker": [False, True],
            "M": [True, True],
        },
    ),
    "trades, in the spelling of the README, sides as 0 and 1": (
        "binance",
        {
            "id": [5, 6],
            "price": [4.0, 5.0],
            "qty": [1.5, 2.5],
            "quoteQty": [6.0, 12.5],
            "time": [1735689600010866, 1735689600010867],
            "isBuyerMaker": [0, 1],
            "isBestMatch": [1, 1],
        },
        {
            "agg_trade_id": [5, 6],
            "first_trade_id": [5, 6],
            "last_trade_id": [5, 6],
            "price": [4.0, 5.0],
            "quantity": [1.5, 2.5],
            "quoteQty": [6.0, 12.5],
            "timestamp": us("2025-01-01T00:00:00.010866", "2025-01-01T00:00:00.010867"),
            "is_buyer_maker": [False, True],
            "isBestMatch": [1, 1],
        },
    ),
    "bybit": (
        "bybit",
        {
            "T": [1671181689021, 1671181689022],
            "s": ["BTCPERP", "BTCPERP"],
            "S": ["Buy", "Sell"],
            "v": ["0.002", "1"],
            "p": ["17032.50", "17032.45"],
            "L": ["MinusTick", "MinusTick"],
            "i": ["d9cd8295-40dc", "d9cd8295-40dd"],
        },
        {
            "timestamp": us("2022-12-16T09:08:09.021", "2022-12-16T09:08:09.022"),
            "symbol": ["BTCPERP", "BTCPERP"],
            "is_buyer_maker": [False, True],
            "quantity": [0.002, 1.0],
            "price": [17032.5, 17032.45],
            "L": ["MinusTick", "MinusTick"],
            "i": ["d9cd8295-40dc", "d9cd8295-40dd"],
        },
    ),
    "bybit, files of derivatives, in seconds": (
        "bybit",
        {
            "timestamp": [1704326400.1, 1704326400.7],
            "symbol": ["BTCUSDT", "BTCUSDT"],
            "side": ["Buy", "Sell"],
            "size": [0.01, 0.02],
            "price": [42500.1, 42500.2],
            "tickDirection": ["PlusTick", "MinusTick"],
            "trdMatchID": ["m-3001", "m-3002"],
        },
        {
            "timestamp": us("2024-01-04T00:00:00.1", "2024-01-04T00:00:00.7"),
            "symbol": ["BTCUSDT", "BTCUSDT"],
            "is_buyer_maker": [False, True],
            "quantity": [0.01, 0.02],
            "price": [42500.1, 42500.2],
            "tickDirection": ["PlusTick", "MinusTick"],
            "trdMatchID": ["m-3001", "m-3002"],
        },
    ),
    "bybit, files of the spot market, in milliseconds": (
        "bybit",
        {
            "id": [1, 2],
            "timestamp": [1747612800074, 1747612800150],
            "price": [106453.8, 106456.9],
            "volume": [0.003718, 0.0005],
            "side": ["sell", "buy"],
            "rpi": [0, 0],
        },
        {
            "id": [1, 2],
            "timestamp": us("2025-05-19T00:00:00.074", "2025-05-19T00:00:00.150"),
            "price": [106453.8, 106456.9],
            "quantity": [0.003718, 0.0005],
            "is_buyer_maker": [True, False],
            "rpi": [0, 0],
        },
    ),
    "okx": (
        "okx",
        {
            "instId": ["BTC-USD", "BTC-USD"],
            "tradeId": ["130639474", "130639475"],
            "px": ["42219.9", "42219.8"],
            "sz": ["0.12060306", "3"],
            "side": ["buy", "sell"],
            "ts": ["1630048897897", "1630048897898"],
        },
        {
            "symbol": ["BTC-USD", "BTC-USD"],
            "agg_trade_id": [130639474, 130639475],
            "first_trade_id": [130639474, 130639475],
            "last_trade_id": [130639474, 130639475],
            "price": [42219.9, 42219.8],
            "quantity": [0.12060306, 3.0],
            "is_buyer_maker": [False, True],
            "timestamp": us("2021-08-27T07:21:37.897", "2021-08-27T07:21:37.898"),
        },
    ),
    "coinbase, whose side is the maker's": (
        "coinbase",
        {
            "time": ["2014-11-07T22:19:28.578544Z", "2014-11-07T01:08:43.642366Z"],
            "trade_id": [74, 73],
            "price": ["10.00000000", "100.00000000"],
            "size": ["0.01000000", "0.01000000"],
            "side": ["buy", "sell"],
        },
        {
            "timestamp": us("2014-11-07T22:19:28.578544", "2014-11-07T01:08:43.642366"),
            "agg_trade_id": [74, 73],
            "first_trade_id": [74, 73],
            "last_trade_id": [74, 73],
            "price": [10.0, 100.0],
            "quantity": [0.01, 0.01],
            "is_buyer_maker": [True, False],
        },
    ),
    "kraken, floats of seven decimals": (
        "kraken",
        {
            "price": ["30243.40000", "30243.30000"],
            "volume": ["0.34507674", "0.00376960"],
            "time": [1688669597.8277369, 1688669598.2804112],
            "side": ["b", "s"],
            "trade_id": [61044952, 61044953],
        },
        {
            "price": [30243.4, 30243.3],
            "quantity": [0.34507674, 0.0037696],
            "timestamp": ns(1688669597827736900, 1688669598280411200),
            "is_buyer_maker": [False, True],
            "agg_trade_id": [61044952, 61044953],
            "first_trade_id": [61044952, 61044953],
            "last_trade_id": [61044952, 61044953],
        },
    ),
    "deribit": (
        "deribit",
        {
            "trade_seq": [1966042, 1966043],
            "trade_id": ["ETH-2696060", "ETH-2696061"],
            "timestamp": [1590480620145, 1590480620146],
            "price": [203.6, 203.65],
            "instrument_name": ["ETH-PERPETUAL", "ETH-PERPETUAL"],
            "direction": ["sell", "buy"],
            "amount": [1, 10],
        },
        {
            "agg_trade_id": [1966042, 1966043],
            "first_trade_id": [1966042, 1966043],
            "last_trade_id": [1966042, 1966043],
            "trade_id": ["ETH-2696060", "ETH-2696061"],
            "timestamp": us("2020-05-26T08:10:20.145", "2020-05-26T08:10:20.146"),
            "price": [203.6, 203.65],
            "symbol": ["ETH-PERPETUAL", "ETH-PERPETUAL"],
            "is_buyer_maker": [True, False],
            "quantity": [1.0, 10.0],
        },
    ),
    "tardis": (
        "tardis",
        {
            "exchange": ["bitmex", "bitmex"],
            "symbol": ["XBTUSD", "XBTUSD"],
            "timestamp": [1583020803145000, 1583020804145001],
            "local_timestamp": [1583020803307160, 1583020804307160],
            "id": ["ccc3c1fa", None],
            "side": ["sell", "buy"],
            "price": [8531.5, 8532.0],
            "amount": [2152.0, 1500.0],
        },
        {
            "exchange": ["bitmex", "bitmex"],
            "symbol": ["XBTUSD", "XBTUSD"],
            "timestamp": us("2020-03-01T00:00:03.145", "2020-03-01T00:00:04.145001"),
            "local_timestamp": [1583020803307160, 1583020804307160],
            "id": ["ccc3c1fa", None],
            "is_buyer_maker": [True, False],
            "price": [8531.5, 8532.0],
            "quantity": [2152.0, 1500.0],
        },
    ),
    "databento, raw": (
        "databento",
        {
            "ts_event": pl.Series([1695995535227854084, 1695997788946599332], dtype=pl.UInt64),
            "side": ["A", "B"],
            "price": [259900000, 9007199254740993000],
            "size": pl.Series([8, 1], dtype=pl.UInt32),
            "sequence": [187764, 187765],
            "symbol": ["GCTK", "GCTK"],
        },
        {
            "timestamp": ns(1695995535227854084, 1695997788946599332),
            "is_buyer_maker": [True, False],
            "price": [0.2599, 9007199254.740993],
            "quantity": [8.0, 1.0],
            "sequence": [187764, 187765],
            "symbol": ["GCTK", "GCTK"],
        },
    ),
    "databento, pretty": (
        "databento",
        {
            "ts_event": ["2023-09-29T13:52:15.227854084Z", "2023-09-29T14:29:48.946599332Z"],
            "side": ["A", "B"],
            "price": ["0.259900000", "0.252200000"],
            "size": ["8", "1"],
            "symbol": ["GCTK", "GCTK"],
        },
        {
            "timestamp": ns(1695995535227854084, 1695997788946599332),
            "is_buyer_maker": [True, False],
            "price": [0.2599, 0.2522],
            "quantity": [8.0, 1.0],
            "symbol": ["GCTK", "GCTK"],
        },
    ),
    "kaiko": (
        "kaiko",
        {
            "id": ["1661990400274591751", "1661990400274591752"],
            "exchange": ["bw", "bw"],
            "symbol": ["btcusd_perp", "btcusd_perp"],
            "date": ["1676246400344", "1676246400345"],
            "price": ["21779.5", "21779.4"],
            "amount": ["402", "1"],
            "sell": ["true", "false"],
        },
        {
            "id": ["1661990400274591751", "1661990400274591752"],
            "exchange": ["bw", "bw"],
            "symbol": ["btcusd_perp", "btcusd_perp"],
            "timestamp": us("2023-02-13T00:00:00.344", "2023-02-13T00:00:00.345"),
            "price": [21779.5, 21779.4],
            "quantity": [402.0, 1.0],
            "is_buyer_maker": [True, False],
        },
    ),
    "polygon": (
        "polygon",
        {
            "ticker": ["AAPL", "AAPL"],
            "conditions": ["12,37", None],
            "participant_timestamp": [1517562000015577000, 1517562000015577001],
            "price": [171.55, 171.56],
            "sequence_number": [1063, 1064],
            "sip_timestamp": [1517562000016036600, 1517562000016036601],
            "size": [100, 1],
        },
        {
            "symbol": ["AAPL", "AAPL"],
            "conditions": ["12,37", None],
            "participant_timestamp": [1517562000015577000, 1517562000015577001],
            "price": [171.55, 171.56],
            "sequence_number": [1063, 1064],
            "timestamp": ns(1517562000016036600, 1517562000016036601),
            "quantity": [100.0, 1.0],
        },
    ),
}


@pytest.mark.parametrize("name", VENDOR_FRAMES)
def test_a_vendors_trades_become_ours(name: str) -> None:
    vendor, theirs, ours = VENDOR_FRAMES[name]
    given_frame = pl.DataFrame(theirs)
    expected = pl.DataFrame(ours, schema_overrides={k: v for k, v in DTYPES.items() if k in ours})
    assert_frame_equal(rb.normalize(given_frame, vendor), expected)
    lazily = rb.normalize(given_frame.lazy(), vendor)
    assert isinstance(lazily, pl.LazyFrame)
    assert lazily.collect_schema() == expected.schema
    assert_frame_equal(lazily.collect(engine="streaming"), expected)
    # Bars can be made of it, and each vendor names its page.
    rb.range_bars(expected.sort("timestamp"), 250)
    assert VENDORS[vendor].documented.startswith("https://")


def test_every_vendor_has_an_expected_frame() -> None:
    assert {vendor for vendor, _, _ in VENDOR_FRAMES.values()} == set(VENDORS)


def test_by_hand() -> None:
    frame = pl.LazyFrame(
        {
            "time": ["1700000000.4", "1700000001"],
            "px": ["0.1", "100000000.12345678"],
            "sz": [Decimal("0.1"), Decimal("2.00000001")],
            "side": ["S", "b"],
            "venue": ["007", "008"],
        }
    )
    made = rb.normalize(
        frame,
        timestamp="time",
        time_unit="s",
        price="px",
        quantity="sz",
        sells=["sell", "S"],
    ).collect()
    assert made.rows() == [
        (datetime(2023, 11, 14, 22, 13, 20, 400000), 0.1, 0.1, True, "007"),
        (datetime(2023, 11, 14, 22, 13, 21), 100000000.12345678, 2.00000001, False, "008"),
    ]


def test_what_is_ours_already_is_left_alone() -> None:
    frame = pl.LazyFrame(
        schema={"timestamp": pl.Datetime("us", "Asia/Tokyo"), "price": pl.Float64, **DTYPES}
    )
    assert rb.normalize(frame) is frame
    kept = pl.DataFrame(
        {"timestamp": pl.Series([1], dtype=pl.Datetime("ms", "UTC")), "price": 1.0, "quantity": 2.0}
    )
    assert rb.normalize(kept).schema["timestamp"] == pl.Datetime("us", "UTC")


def test_questions_reach_the_scan(tmp_path: Any) -> None:
    path = tmp_path / "t.parquet"
    theirs = VENDOR_FRAMES["okx"][1]
    pl.DataFrame(theirs).write_parquet(path)
    made = rb.normalize(pl.scan_parquet(path), "okx")
    plan = made.filter(pl.col("symbol") == "BTC-USD").select("price").explain()
    assert "PROJECT 2/6" in plan
    assert 'SELECTION: col("instId") == "BTC-USD"' in plan
    assert "SLICE: Positive { offset: 0, len: 1 }" in made.head(1).explain()
    # Only what is asked for is read: a bad side concerns nobody who asks for prices.
    broken = pl.DataFrame({**theirs, "side": ["buy", "cross"]}).lazy()
    assert rb.normalize(broken, "okx").select("price").collect().height == 2
    # A plan can be sent elsewhere.
    again = pl.LazyFrame.deserialize(made.serialize())  # type: ignore
    assert_frame_equal(again.collect(), made.collect())


# Times

UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
EPOCH = datetime(1970, 1, 1)
MICROSECONDS = st.integers(31_536_000 * 10**6, 7_258_118_400 * 10**6 - 1)


def of_times(times: pl.Series, **options: Any) -> pl.Series:
    frame = pl.DataFrame({"timestamp": times, "price": 1.0, "quantity": 1.0})
    return rb.normalize(frame, **options)["timestamp"]


@given(st.lists(MICROSECONDS, min_size=1), st.sampled_from(["s", "ms", "us"]))
def test_fractions_of_a_unit_are_exact(counts: list[int], unit: Any) -> None:
    exact = [Decimal(count).scaleb(UNITS[unit] - 6) for count in counts]
    expected = pl.Series("timestamp", counts, dtype=pl.Int64).cast(US)
    for values in (
        pl.Series([f"{value:f}" for value in exact]),
        pl.Series(exact, dtype=pl.Decimal(38, 6)),
        pl.Series([float(value) for value in exact]),
    ):
        made = of_times(values, time_unit=unit)
        assert made.to_list() == expected.to_list(), values


@given(
    st.lists(MICROSECONDS, min_size=1), st.sampled_from([0, 90, -330]), st.sampled_from(["T", " "])
)
def test_iso_times_are_exact(counts: list[int], minutes: int, separator: str) -> None:
    times = [EPOCH + timedelta(microseconds=count) for count in counts]
    zone = {0: "Z", 90: "+01:30", -330: "-0530"}[minutes]
    local = [(time + timedelta(minutes=minutes)).isoformat(separator) + zone for time in times]
    assert of_times(pl.Series(local)).to_list() == times
    naive = pl.Series([time.isoformat(separator) for time in times])
    assert of_times(naive).to_list() == times


def test_nanoseconds_stay() -> None:
    count = 1_700_000_000_123_456_789
    for values, options in (
        (pl.Series([count]), {"time_unit": "ns"}),
        (pl.Series([str(count)]), {"time_unit": "ns"}),
        (pl.Series(["1700000000.123456789"]), {"time_unit": "s", "resolution": "ns"}),
        (pl.Series(["2023-11-14T22:13:20.123456789Z"]), {"resolution": "ns"}),
        (pl.Series([count]).cast(NS), {}),
    ):
        made = of_times(values, **options)
        assert made.dtype == NS
        assert made.to_physical()[0] == count


def test_a_format_of_ones_own() -> None:
    made = of_times(pl.Series(["01/05/2024 10:00:00.5"]), time_format="%d/%m/%Y %H:%M:%S%.f")
    assert made[0] == datetime(2024, 5, 1, 10, 0, 0, 500000)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        # The same number is a sensible time in another unit, and the message says which.
        (
            [1700000000000],
            {"time_unit": "s"},
            "value 1700000000000: .*is the time unit right.*'ms'",
        ),
        ([1700000000], {"time_unit": "ms"}, "value 1700000000: .*'s' it lies on 2023-11-14"),
        ([1700000000.5], {"time_unit": "ms"}, "value 1700000000.5: .*'s' it lies on 2023-11-14"),
        (["1700000000"], {"time_unit": "ns"}, "value 1700000000: .*'s' it lies on 2023-11-14"),
        ([1e300], {"time_unit": "s"}, "is the time unit right"),
        ([float("nan")], {"time_unit": "s"}, "is not a time"),
        ([17_000_000], {"time_unit": "s"}, "lies before 1971"),
        (["1969-01-01T00:00:00"], {}, "value '1969-01-01T00:00:00': lies before 1971"),
        (["01/05/2024"], {}, "value '01/05/2024': .*time_format='%d/%m/%Y %H:%M:%S'"),
        (["01/05/2024"], {"time_unit": "ms"}, "value '01/05/2024': .*time_format="),
        (["2024-02-30T00:00:00"], {}, "value '2024-02-30T00:00:00': there is no such day"),
        (["2024-02-01T25:00:00"], {}, "no such day or time of day"),
        (["2024-02-01", "yesterday"], {}, "value 'yesterday'"),
        (["1700000000"], {}, "value '1700000000': these are numbers: .*time_unit='ms'"),
        (["1700000000.5", "soon"], {"time_unit": "s"}, "value 'soon': is not a number"),
        (["1700000000.1234567"], {"time_unit": "s"}, "finer than a microsecond.*resolution='ns'"),
        ([1700000000000000001], {"time_unit": "ns", "resolution": "us"}, "finer than a micro"),
        (["2024-01-01T00:00:00.1234567"], {}, "finer than a microsecond"),
        (["x"], {"time_format": "%Y"}, "value 'x': is not a time as time_format='%Y' has it"),
    ],
)
def test_times_that_cannot_be_read(values: list[Any], options: Any, message: str) -> None:
    with pytest.raises(InvalidTradeError, match=r"column 'timestamp'"):
        of_times(pl.Series(values), **options)
    with pytest.raises(InvalidTradeError, match=message):
        of_times(pl.Series(values), **options)


def test_time_dtypes_that_cannot_be_read() -> None:
    for values, options, message in (
        (pl.Series([1700000000]), {}, "holds numbers: say what they count .*time_unit='ms'"),
        (pl.Series([1.7e18]), {"time_unit": "ns"}, "a float rounds them"),
        (pl.Series([True]), {}, "must hold Datetimes, numbers, or text"),
        (pl.Series([datetime(2024, 1, 1)]).cast(pl.Date), {}, "must hold Datetimes"),
    ):
        with pytest.raises(RangeBarError, match=message):
            of_times(values, **options)


# Numbers, ids, sides


@given(st.lists(st.decimals("0.00000001", "1000000000000", places=8), min_size=1))
def test_text_prices_are_the_nearest_floats(prices: list[Decimal]) -> None:
    for values in (
        pl.Series([f"{p:f}" for p in prices]),
        pl.Series(prices, dtype=pl.Decimal(38, 8)),
    ):
        frame = pl.DataFrame({"price": values, "timestamp": EPOCH, "quantity": 1.0})
        assert rb.normalize(frame)["price"].to_list() == [float(p) for p in prices]


def one(**columns: Any) -> pl.LazyFrame:
    base = {"timestamp": us("2024-01-01"), "price": [1.0], "quantity": [1.0]}
    return pl.LazyFrame({**base, **columns})


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"price": ["1,5"]}, {}, "'price'.*1,5"),
        ({"price": ["abc"]}, {}, "'price'.*abc"),
        ({"quantity": [2**53 + 1]}, {}, "'quantity', value 9007199254740993: .*Decimal"),
        ({"agg_trade_id": ["7a"]}, {}, "'agg_trade_id'.*7a"),
        ({"is_buyer_maker": ["maybe"]}, {}, "'is_buyer_maker', value 'maybe': must be true or"),
        ({"is_buyer_maker": [2]}, {}, "'is_buyer_maker', value '2'"),
        ({"side": ["cross"]}, {}, "'side', value 'cross': .*sells=.*other_side='null'"),
        ({"side": [None]}, {}, "'side'"),
        ({"side": ["SELL "]}, {}, "'side', value 'SELL '"),
        ({"side": ["ask"]}, {}, "'side', value 'ask'"),
        ({"side": [1]}, {"sells": [-1]}, "'side', value '1'"),
    ],
)
def test_values_that_cannot_be_read(columns: Any, options: Any, message: str) -> None:
    with pytest.raises(PolarsError, match=message):
        rb.normalize(one(**columns), **options).collect()


def test_sides() -> None:
    def of(values: list[Any], **options: Any) -> list[bool | None]:
        frame = pl.concat([one()] * len(values)).collect().with_columns(side=pl.Series(values))
        return rb.normalize(frame, **options)["is_buyer_maker"].to_list()

    assert of(["sell", "Buy", "S", "b"]) == [True, False, True, False]
    assert of(["sell", "buy"], side_of="maker") == [False, True]
    assert of(["sell", "none", "buy"], other_side="null") == [True, None, False]
    assert of([-1, 1], sells=[-1], buys=[1]) == [True, False]
    assert of(["A", "B"], sells="A", buys="B") == [True, False]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: rb.normalize(f, "binanse"), ValueError, "did you mean 'binance'"),
        (lambda f: rb.normalize(f, time_unit="m"), ValueError, "time_unit must be one of 's'"),
        (lambda f: rb.normalize(f, other_side="x"), ValueError, "other_side must be"),
        (lambda f: rb.normalize(f, side_of="x"), ValueError, "side_of must be"),
        (lambda f: rb.normalize(f, price=3), TypeError, "price must be a column name"),
        (lambda f: rb.normalize(f, sells="a", buys="a"), ValueError, "both in sells and in buys"),
        (lambda f: rb.normalize(f, price="quantity", quantity="quantity"), ValueError, "both"),
        (
            lambda f: rb.normalize(
                f.with_columns(m=1, s=pl.lit("b")), side="s", is_buyer_maker="m"
            ),
            ValueError,
            "name one of them",
        ),
        (lambda f: rb.normalize([1]), TypeError, "must be a polars LazyFrame"),
        (
            lambda f: rb.normalize(f.rename({"timestamp": "transact_time"})),
            ColumnNotFoundError,
            "'timestamp' not found: name the timestamp with timestamp='transact_time'",
        ),
        (
            lambda f: rb.normalize(f.rename({"quantity": "lastSize"})),
            ColumnNotFoundError,
            "quantity='lastSize', or quantity=None to do without",
        ),
        (lambda f: rb.normalize(f, price="pirce"), ColumnNotFoundError, "price='price'"),
        (
            lambda f: rb.normalize(f.with_columns(time="timestamp"), timestamp="time"),
            DuplicateError,
            "column 'timestamp' is already there",
        ),
        (
            lambda f: rb.normalize(f.with_columns(agg_trade_id=1.5)),
            RangeBarError,
            "'agg_trade_id' must hold integers",
        ),
        (lambda f: rb.normalize(f.with_columns(side=1.5)), RangeBarError, "'side' must hold text"),
        (
            lambda f: rb.normalize(
                pl.DataFrame(
                    {"ts_event": [10**18], "side": "A", "price": [2**63 - 1], "size": [1]}
                ),
                "databento",
            ),
            InvalidTradeError,
            "missing price",
        ),
    ],
)
def test_options_that_make_no_sense(
    call: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(one().collect())


def test_binance_files_without_a_header() -> None:
    agg = ["7", "27123.1", "0.001", "70", "74", "1660176000123", "true"]
    single = ["5", "4.0", "1.5", "6.0", "1735689600010866", "True", "True"]
    assert binance_columns(agg)[:2] == ["agg_trade_id", "price"]  # type: ignore
    assert binance_columns([*agg, "True"])[-1] == "is_best_match"  # type: ignore
    assert binance_columns(single)[4] == "time"  # type: ignore
    assert binance_columns(single[:6])[-1] == "is_buyer_maker"  # type: ignore
    assert binance_columns(["7", "x"]) is None
