"""`scan_trades`: files read by what their columns are for, and never by their first rows."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.exceptions import ColumnNotFoundError, NoDataError, PolarsError
from polars.testing import assert_frame_equal

import rangebar_polars as rb
from tests.support.real_data import FOLDER

HEADER = "timestamp,price,quantity,symbol\n"
LINES = "1700000000400,100,1,000001\n1700000001400,100.5,2,000001\n"
TRADES = pl.DataFrame(
    {
        "timestamp": pl.Series([1700000000400, 1700000001400]).cast(pl.Datetime("ms")),
        "price": [100.0, 100.5],
        "quantity": [1.0, 2.0],
        "symbol": ["000001", "000001"],
    }
).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))


def write(path: Path, text: str) -> Path:
    data = text.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        frame = pl.read_csv(data, infer_schema=False)
        frame.lazy().sink_csv(path, compression="zstd")
    else:
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.csv.zst", "t.txt", "t[1].csv", "t*.csv", "T.CSV"]
)
def test_csv_of_any_suffix_and_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / "t1.csv", "not,these\n1,2\n")
    path = write(tmp_path / name, HEADER + LINES)
    for source in (path, str(path), [path]):
        assert_frame_equal(rb.scan_trades(source, time_unit="ms").collect(), TRADES)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "ipc", "feather"])
def test_other_kinds(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t[1].{suffix}"
    (TRADES.write_parquet if suffix == "parquet" else TRADES.write_ipc)(path)
    assert_frame_equal(rb.scan_trades([path, path]).collect(), pl.concat([TRADES, TRADES]))


def test_a_pattern(tmp_path: Path) -> None:
    for day, price in ((2, "7"), (1, "6.5")):
        write(tmp_path / f"t{day}.csv", f"{HEADER}{1700000000000 + day},{price},1,A\n")
    made = rb.scan_trades(tmp_path / "t[0-9].csv", time_unit="ms").collect()
    assert made["price"].to_list() == [6.5, 7.0]


def test_dtypes_follow_from_roles_not_from_the_first_rows(tmp_path: Path) -> None:
    # 150 whole prices, then one that is not; the same of quantities and of a symbol.
    rows = [f"{1700000000000 + i},{100 + i},1,{i:06}\n" for i in range(150)]
    rows.append("1700000000500,250.25,0.5,ABC\n")
    path = write(tmp_path / "t.csv", HEADER + "".join(rows))
    made = rb.scan_trades(path, time_unit="ms").collect()
    assert made["price"][-2:].to_list() == [249.0, 250.25]
    assert made["symbol"][0] == "000000"
    assert made["symbol"][-1] == "ABC"


def test_a_silent_day(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "1.csv", HEADER + LINES),
        write(tmp_path / "2.csv", HEADER),
        write(tmp_path / "3.csv.gz", ""),
        write(tmp_path / "4.csv", ""),
    ]
    for some in (files, files[::-1]):
        assert_frame_equal(rb.scan_trades(some, time_unit="ms").collect(), TRADES)
    assert rb.scan_trades(files[1], time_unit="ms").collect().equals(TRADES.clear())
    with pytest.raises(NoDataError, match="there is nothing in"):
        rb.scan_trades(files[2:])


def test_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", LINES)
    columns = ["timestamp", "price", "quantity", "symbol"]
    assert_frame_equal(rb.scan_trades(path, columns=columns, time_unit="ms").collect(), TRADES)
    with pytest.raises(ValueError, match=r"columns names 3 columns, but .*t.csv has 4"):
        rb.scan_trades(path, columns=columns[:3])
    with pytest.raises(ValueError, match=r"has numbers where names are expected .*columns=\["):
        rb.scan_trades(path, time_unit="ms")
    with pytest.raises(ValueError, match=r"has no header: name its 4 columns in order"):
        rb.scan_trades(path, has_header=False)


def test_headers_as_programs_write_them(tmp_path: Path) -> None:
    for text in (
        "\ufeff" + HEADER + LINES,
        (HEADER + LINES).replace("\n", "\r\n"),
        HEADER.replace(",", ", ") + LINES,
        '"timestamp","price","quantity","symbol"\n' + LINES,
    ):
        path = write(tmp_path / "t.csv", text)
        made = rb.scan_trades(path, time_unit="ms")
        assert_frame_equal(made.collect(), TRADES)
        stream = io.BytesIO(text.encode())
        assert_frame_equal(rb.scan_trades(stream, time_unit="ms").collect(), TRADES)
    tabs = write(tmp_path / "t.tsv", (HEADER + LINES).replace(",", "\t"))
    assert_frame_equal(rb.scan_trades(tabs, time_unit="ms").collect(), TRADES)
    semicolons = write(tmp_path / "s.csv", (HEADER + LINES).replace(",", ";"))
    made = rb.scan_trades(semicolons, separator=";", time_unit="ms")
    assert_frame_equal(made.collect(), TRADES)


@pytest.mark.parametrize("packing", ["plain", "gz", "zst"])
def test_a_stream(tmp_path: Path, packing: str) -> None:
    rows = 300_000  # of several blocks
    frame = pl.DataFrame({"timestamp": range(1_700_000_000_000, 1_700_000_000_000 + rows)})
    frame = frame.with_columns(
        price=pl.col("timestamp") % 100 + 0.5, quantity=1, symbol=pl.lit("A")
    )
    name = "t.csv" if packing == "plain" else f"t.csv.{packing}"
    path = write(tmp_path / name, frame.write_csv())
    with path.open("rb", buffering=0) as stream:
        made = rb.scan_trades(stream, time_unit="ms")
        assert_frame_equal(made.collect(), rb.scan_trades(path, time_unit="ms").collect())
        with pytest.raises(PolarsError, match="was read already"):
            made.collect()


def test_a_stream_that_gives_a_byte_at_a_time() -> None:
    read, write_end = os.pipe()
    text = (HEADER + LINES.rstrip("\n")).encode()
    for byte in text:
        os.write(write_end, bytes([byte]))
    os.close(write_end)
    with os.fdopen(read, "rb", buffering=0) as stream:
        assert_frame_equal(rb.scan_trades(stream, time_unit="ms").collect(), TRADES)


def test_binance_files_with_and_without_header(tmp_path: Path) -> None:
    header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    old = write(tmp_path / "a.csv", "7,27123.1,0.001,70,74,1660175999999,true\n")
    new = write(tmp_path / "b.csv", f"{header}\n8,27123.2,12,75,75,1660176000000,false\n")
    for files in ([old, new], [new, old]):
        made = rb.scan_trades(files, "binance").sort("timestamp").collect()
        assert made["agg_trade_id"].to_list() == [7, 8]
        assert made["is_buyer_maker"].to_list() == [True, False]
        assert made["timestamp"][1] == datetime(2022, 8, 11)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    good = write(tmp_path / "t.csv", HEADER + LINES)
    other = write(tmp_path / "o.csv", "price,timestamp,quantity,symbol\n1,2,3,A\n")
    (tmp_path / "p.parquet").write_bytes(b"")
    cases: tuple[tuple[Any, dict[str, Any], type[Exception], str], ...] = (
        ("s3://bucket/t.csv", {}, ValueError, "is a URL"),
        (tmp_path, {}, IsADirectoryError, "is a folder: name its files"),
        (tmp_path / "no.csv", {}, FileNotFoundError, "no such file"),
        (tmp_path / "no*.csv", {}, FileNotFoundError, "no file matches"),
        ([], {}, ValueError, "no files of trades"),
        (write(tmp_path / "t.xlsx", ""), {}, ValueError, "cannot tell what kind"),
        (write(tmp_path / "t.parquet.gz", ""), {}, ValueError, "cannot tell what kind"),
        ([good, tmp_path / "p.parquet"], {}, ValueError, "of one kind, got csv and parquet"),
        ([good, other], {}, ValueError, "o.csv has the columns price, timestamp.*t.csv has"),
        (good, {"columns": ["a", "a"]}, ValueError, "names 'a' more than once"),
        (good, {"separator": "||"}, ValueError, "separator must be a single"),
        (good, {"colour": 1}, TypeError, "unknown keyword 'colour'"),
        (good, {"timestamp": "time"}, ColumnNotFoundError, "timestamp='timestamp'"),
        (io.BytesIO(b""), {}, NoDataError, "there is nothing in"),
        (good, {}, PolarsError, "time_unit='ms'"),
        (write(tmp_path / "b.csv", HEADER + "1,abc,1,A\n"), {}, PolarsError, "'price'|abc"),
        (
            write(tmp_path / "s.csv", HEADER + LINES + "1700000002400,101,1\n"),
            {"time_unit": "ms"},
            PolarsError,
            "column 'symbol', value null: a line has nothing there",
        ),
        (write(tmp_path / "d.csv", HEADER + "01/05/2024,1,1,A\n"), {}, PolarsError, "time_format="),
    )
    for source, options, error, message in cases:
        with pytest.raises(error, match=message):
            rb.scan_trades(source, **options).collect()


# Zips of the archive


def test_zips(tmp_path: Path) -> None:
    for symbol, day, first in (("BTCUSDT", 1, 1), ("BTCUSDT", 2, 3), ("ETHUSDT", 1, 1)):
        time = int(datetime(2024, 1, day, 12).timestamp() - datetime(1970, 1, 1).timestamp()) * 1000
        text = "".join(
            f"{first + i},100.{i},1,{first + i},{first + i},{time + i},true\n" for i in range(2)
        )
        name = f"{symbol}-aggTrades-2024-01-0{day}"
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}.csv", text)
    one = rb.scan_trades(tmp_path / "BTCUSDT-*.zip", "binance")
    assert "symbol" not in one.collect_schema()
    assert one.select("agg_trade_id").collect().to_series().to_list() == [1, 2, 3, 4]
    several = rb.scan_trades(tmp_path / "*.zip", "binance")
    assert several.select("symbol", "price").collect().rows()[3:5] == [
        ("BTCUSDT", 100.1),
        ("ETHUSDT", 100.0),
    ]
    assert several.filter(pl.col("symbol") == "ETHUSDT").head(1).collect().height == 1
    with pytest.raises(ValueError, match="format='binance'"):
        rb.scan_trades(tmp_path / "*.zip")
    odd = tmp_path / "trades.zip"
    odd.write_bytes((tmp_path / "BTCUSDT-aggTrades-2024-01-01.zip").read_bytes())
    with pytest.raises(ValueError, match="not named as the archive names"):
        rb.scan_trades(odd, "binance")
    moved = tmp_path / "BTCUSDT-aggTrades-2024-03.zip"
    odd.rename(moved)
    with pytest.raises(PolarsError, match=r"its time is not of 2024-03-01 to 2024-03-31"):
        rb.scan_trades(moved, "binance").collect()


@pytest.mark.parametrize("market", ["spot", "futures/um", "futures/cm"])
@pytest.mark.parametrize("kind", ["aggTrades", "trades"])
def test_real_zips(market: str, kind: str) -> None:
    folder = FOLDER / "binance_archive/data" / market / "daily" / kind
    files = sorted(folder.glob("BTC*/*.zip"))
    if not files:
        pytest.skip(f"needs files of the archive that this repository does not ship: {folder}")
    made = rb.scan_trades(files, "binance").collect()
    # The same text by way of the CSV reader and `normalize`.
    texts = [zipfile.ZipFile(file) for file in files]
    streams = [io.BytesIO(text.read(text.infolist()[0])) for text in texts]
    frames = [rb.scan_trades(stream, "binance").collect() for stream in streams]
    ours = [name for name in made.columns if name in frames[0].columns and "is_best" not in name]
    assert {"timestamp", "price", "quantity", "is_buyer_maker", "agg_trade_id"} <= set(ours)
    numbers = [name for name in ours if frames[0][name].dtype != pl.String]
    assert_frame_equal(made.select(numbers), pl.concat(frames).select(numbers))
    assert made["timestamp"].dt.date().is_between(date(2024, 8, 7), date(2024, 8, 10)).all()
