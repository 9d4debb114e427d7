"""What `rangebar bars` reads, tried as a user does: each line here was wrong or an error once."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

pytest.importorskip("cyclopts", reason="the command line is an extra")

import rangebar_polars as rb
from tests.support.children import child_environment
from tests.support.real_data import FOLDER

HEADER = "timestamp,price,quantity\n"


def rangebar(
    *arguments: str | Path, stdin: bytes | None = None, code: int = 0, cwd: Path | None = None
) -> tuple[bytes, str]:
    """Run the command; return what it wrote to standard output and standard error."""
    finished = subprocess.run(
        [sys.executable, "-m", "rangebar_polars.cli", *map(str, arguments)],
        env=child_environment(),
        input=stdin,
        capture_output=True,
        timeout=120,
        cwd=cwd,
        check=False,
    )
    assert finished.returncode == code, finished.stderr.decode()
    return finished.stdout, finished.stderr.decode()


def csv(text: bytes) -> pl.DataFrame:
    return pl.read_csv(text, try_parse_dates=True)


def bars_of(trades: str, *arguments: str) -> pl.DataFrame:
    """Bars of CSV text on standard input, as CSV on standard output."""
    return csv(rangebar("bars", "-", "-o", "-", *arguments, stdin=trades.encode())[0])


def fails(trades: str, *arguments: str, code: int = 1) -> str:
    """The one line on standard error of a run that fails."""
    out, error = rangebar("bars", "-", *arguments, stdin=trades.encode(), code=code)
    assert out == b""
    assert error.startswith("rangebar: ")
    assert error.count("\n") == 1
    return error


# Fractions of seconds


def test_fractions_of_seconds_count() -> None:
    trades = HEADER + "1700000000.4,100,1\n1700000000.9,101,1\n"
    made = bars_of(trades, "--time-unit", "s")
    assert made["open_time"].cast(str).to_list() == ["2023-11-14 22:13:20.400000"]
    assert made["close_time"].cast(str).to_list() == ["2023-11-14 22:13:20.900000"]


# By role


def test_a_price_is_a_decimal_number_from_the_first_row_on() -> None:
    rows = "".join(f"{1700000000 + i},100,1\n" for i in range(150))
    made = bars_of(f"{HEADER}{rows}1700000999,100.5,0.5\n", "--time-unit", "s")
    assert made.select("close", "volume").rows() == [(100.5, 150.5)]


def test_a_silent_day_is_a_day_without_trades(tmp_path: Path) -> None:
    for day, text in enumerate(("1700000000,100,1\n", "", "1700090000,101,1\n")):
        (tmp_path / f"{day}.csv").write_text(HEADER + text)
    (tmp_path / "3.csv").write_text("")
    out, _ = rangebar("bars", tmp_path / "*.csv", "--time-unit", "s", "-o", "-")
    assert csv(out)["trade_count"].to_list() == [2]
    out, _ = rangebar("bars", tmp_path / "1.csv", "--time-unit", "s", "-o", "-")
    assert csv(out).height == 0


def test_zeros_of_a_symbol_stay() -> None:
    trades = "timestamp,price,quantity,symbol\n1,100,1,000001\n2,101,1,000001\n2,1,1,1\n3,2,1,1\n"
    trades = trades.replace("\n1,", "\n1700000001,").replace("\n2,", "\n1700000002,")
    trades = trades.replace("\n3,", "\n1700000003,")
    out, _ = rangebar("bars", "-", "--time-unit", "s", "-o", "-", stdin=trades.encode())
    assert out.decode().splitlines()[1].startswith("000001,")
    assert out.decode().splitlines()[2].startswith("1,")


def test_a_date_is_not_guessed() -> None:
    trades = HEADER + "01/05/2024 10:00:00,100,1\n01/05/2024 10:00:01,101,1\n"
    assert "--time-format '%d/%m/%Y %H:%M:%S'" in fails(trades)
    made = bars_of(trades, "--time-format", "%d/%m/%Y %H:%M:%S")
    assert made["open_time"].cast(str).to_list() == ["2024-05-01 10:00:00.000000"]


def test_a_wrong_unit_is_named() -> None:
    error = fails(HEADER + "1700000000400,100,1\n", "--time-unit", "s")
    assert "value 1700000000400" in error
    assert "With --time-unit ms it lies on 2023-11-14" in error
    assert "--time-unit ms" in fails(HEADER + "1700000000400,100,1\n")


# Sides and vendors


@pytest.mark.parametrize(
    ("column", "values", "arguments"),
    [
        ("is_buyer_maker", ("1", "0"), ()),
        ("is_buyer_maker", ("True", "False"), ()),
        ("m", ("true", "false"), ("--is-buyer-maker", "m")),
        ("side", ("SELL", "BUY"), ()),
        ("who", ("-1", "1"), ("--side", "who", "--sells", "-1", "--buys", "1")),
        ("side", ("buy", "sell"), ("--side-of", "maker")),
    ],
)
def test_sides(column: str, values: tuple[str, str], arguments: tuple[str, ...]) -> None:
    sold, bought = values
    trades = (
        f"timestamp,price,quantity,{column}\n1700000000,100,1,{sold}\n1700000001,101,2,{bought}\n"
    )
    made = bars_of(trades, "--time-unit", "s", *arguments)
    assert made.select("sell_volume", "buy_volume").rows() == [(1.0, 2.0)]


def test_a_side_that_is_neither() -> None:
    trades = "timestamp,price,quantity,side\n1700000000,100,1,cross\n1700000001,101,1,buy\n"
    error = fails(trades, "--time-unit", "s")
    assert "column 'side', value 'cross'" in error
    assert "--other-side null" in error
    made = bars_of(trades, "--time-unit", "s", "--no-side")
    assert "buy_volume" not in made.columns


def test_formats() -> None:
    tardis = (
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        "bitmex,XBTUSD,1583020803145000,1583020803307160,a,sell,100,2\n"
        "bitmex,XBTUSD,1583020804145000,1583020804307160,b,buy,101,3\n"
    )
    made = bars_of(tardis, "--format", "tardis")
    assert made.select("symbol", "sell_volume", "buy_volume").rows() == [("XBTUSD", 2.0, 3.0)]
    assert "did you mean 'tardis'" in fails(tardis, "--format", "tradis", code=2)


# Kinds of files


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst"])
def test_files_in_and_out_compressed(tmp_path: Path, suffix: str) -> None:
    trades = pl.DataFrame(
        {"timestamp": range(1700000000, 1700002000), "price": [100.0, 100.25] * 1000, "quantity": 1}
    )
    source, out = tmp_path / f"t.{suffix}", tmp_path / f"b.{suffix}"
    packing = {"csv": "uncompressed", "csv.gz": "gzip", "csv.zst": "zstd"}[suffix]
    trades.lazy().sink_csv(source, compression=packing)  # type: ignore
    rangebar("bars", source, "--time-unit", "s", "-o", out)
    expected = rb.range_bars(rb.normalize(trades, time_unit="s"), 250)
    assert expected.height == 1000
    assert_frame_equal(csv(out.read_bytes()), expected, check_dtypes=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, out.name])
    # The same down a pipe.
    piped, _ = rangebar("bars", "-", "--time-unit", "s", "-o", "-", stdin=source.read_bytes())
    assert_frame_equal(csv(piped), expected, check_dtypes=False)


@pytest.mark.parametrize("kind", ["parquet", "ipc"])
def test_other_kinds_on_standard_input(tmp_path: Path, kind: str) -> None:
    trades = rb.normalize(
        pl.DataFrame(
            {"timestamp": [1700000000, 1700000001], "price": [100.0, 101.0], "quantity": 1}
        ),
        time_unit="s",
    )
    path = tmp_path / "trades"
    (trades.write_parquet if kind == "parquet" else trades.write_ipc)(path)
    out, _ = rangebar("bars", "-", "-o", "-", stdin=path.read_bytes())
    assert csv(out)["close"].to_list() == [101.0]


def test_without_a_header() -> None:
    trades = "100,1,1700000000\n101,1,1700000001\n"
    made = bars_of(trades, "--columns", "price,quantity,timestamp", "--time-unit", "s")
    assert made["close"].to_list() == [101.0]
    for arguments in (("--no-header",), ()):
        error = fails(trades, *arguments, code=2)
        assert "standard input" in error
        assert "--columns timestamp,price,..." in error
    assert "names 2 columns, but standard input has 3" in fails(
        trades, "--columns", "price,quantity", code=2
    )


def test_brackets_in_a_name(tmp_path: Path) -> None:
    (tmp_path / "t[1].csv").write_text(HEADER + "1700000000,100,1\n1700000001,101,1\n")
    (tmp_path / "t1.csv").write_text(HEADER + "1700000000,7,1\n1700000001,8,1\n")
    out, _ = rangebar("bars", "t[1].csv", "--time-unit", "s", "-o", "-", cwd=tmp_path)
    assert csv(out)["close"].to_list() == [101.0]


def test_the_archives_zips() -> None:
    folder = FOLDER / "binance_archive/data/spot/daily/aggTrades"
    if not folder.exists():
        pytest.skip(f"needs files of the archive that this repository does not ship: {folder}")
    files = folder / "XRPETH/*.zip"
    out, _ = rangebar("bars", files, "--format", "binance", "-t", "0.25%", "-o", "-")
    expected = rb.range_bars(rb.scan_trades(files, "binance").collect(), 250)
    assert expected.height > 300
    columns = ["open", "close", "volume", "first_agg_trade_id"]
    assert csv(out).select(columns).equals(expected.select(columns))
    files = folder / "*USDT/*-08.zip"
    out, _ = rangebar("bars", files, "--format", "binance", "-t", "100", "--rows", "2")
    assert out.decode().startswith("| symbol ")


def test_trades_that_come_again() -> None:
    trades = (
        "timestamp,price,quantity,agg_trade_id\n"
        "1700000000,100,1,1\n1700000001,100,1,2\n1700000001,100,1,2\n1700000002,101,1,3\n"
    )
    assert "--on-overlap skip" in fails(trades, "--time-unit", "s")
    made = bars_of(trades, "--time-unit", "s", "--on-overlap", "skip")
    assert made["volume"].to_list() == [3.0]


def test_prices_finer_than_eight_decimals() -> None:
    trades = HEADER + "1700000000,4.567e-7,1\n1700000001,4.582e-7,1\n"
    assert "--decimals" in fails(trades, "--time-unit", "s")
    for decimals in ("11", "price=11", "price=11,quantity=4"):
        made = bars_of(trades, "--time-unit", "s", "--decimals", decimals)
        assert made["close"].to_list() == [4.582e-7]
    assert "--decimals" in fails(trades, "--time-unit", "s", "--decimals", "13", code=2)
    assert "--decimals" in fails(trades, "--time-unit", "s", "--decimals", "fine", code=2)


# Pipes, URLs, and words


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    rows = 400_000
    trades = pl.DataFrame(
        {"timestamp": range(1700000000, 1700000000 + rows), "price": [100.0, 101.0] * (rows // 2)}
    ).with_columns(quantity=1)
    trades.write_parquet(tmp_path / "t.parquet")
    for arguments in (["-o", "-"], ["--rows", "300000", "--show", "all"]):
        read, write = os.pipe()
        command = ["bars", "t.parquet", "--time-unit", "s", *arguments]
        with subprocess.Popen(
            [sys.executable, "-m", "rangebar_polars.cli", *command],
            env=child_environment(),
            cwd=tmp_path,
            stdout=write,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                os.close(write)
                assert os.read(read, 100)
                os.close(read)
                _, error = process.communicate(timeout=120)
            finally:
                process.kill()
        assert error == b""
        assert process.returncode == 0
    # And one that never reads at all.
    done = subprocess.run(
        f"{sys.executable} -m rangebar_polars.cli bars t.parquet --time-unit s | true; "
        f"echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        env=child_environment(),
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"0\n", b"")


def test_a_url_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEADER + "1700000000,100,1\n")
    _, error = rangebar(
        "bars", "t.csv", "--time-unit", "s", "-o", "s3://b/bars.csv", code=2, cwd=tmp_path
    )
    assert "--out must be a local path" in error
    _, error = rangebar("bars", "s3://b/t.csv", code=2, cwd=tmp_path)
    assert "is a URL" in error
    _, error = rangebar("update", "s3://b/bars", "t.csv", "--time-unit", "s", code=2, cwd=tmp_path)
    assert "must be a local path" in error
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_errors_are_in_the_words_of_the_command() -> None:
    trades = "transact_time,px,qty\n1,100,1\n"
    error = fails(trades)
    assert "name the timestamp with --timestamp transact_time, or --no-timestamp" in error
    error = fails(trades, "--timestamp", "transact_time", "--time-unit", "s")
    assert "name the price with --price px" in error
    error = fails(trades, "--timestamp", "transact_time", "--price", "px", "--time-unit", "s")
    assert "name the quantity with --quantity qty, or --no-quantity" in error
    # Columns are named as the file names them.
    bad = "time,px,quantity\n1700000000,100,1\n1700000001,-1,1\n"
    error = fails(bad, "--timestamp", "time", "--price", "px", "--time-unit", "s")
    assert "column 'px', row 1" in error
    error = fails(
        bad.replace("-1", "abc"), "--timestamp", "time", "--price", "px", "--time-unit", "s"
    )
    assert "abc" in error
    assert "'px'" in error
    assert "contradict" in fails(bad, "--timestamp", "time", "--no-timestamp", code=2)


def test_a_gzip_that_is_cut_off(tmp_path: Path) -> None:
    rows = "".join(f"{1700000000 + i},{100 + i % 7},1\n" for i in range(50_000))
    packed = gzip.compress((HEADER + rows).encode())
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    _, error = rangebar("bars", "-", "--time-unit", "s", "-o", "-", stdin=packed[:99999], code=1)
    assert error.startswith("rangebar: standard input cannot be read, or is cut off")
    _, error = rangebar("bars", tmp_path / "t.csv.gz", "--time-unit", "s", code=1)
    assert error.startswith("rangebar: ")


def test_a_table_fits_the_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="needs a terminal")
    import fcntl
    import struct
    import termios

    (tmp_path / "t.csv").write_text(HEADER + "1700000000.4,61837.63,1\n1700000001,62837.65,1\n")
    shown: dict[int, list[str]] = {}
    for width in (80, 200):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        environment = child_environment()
        environment.pop("COLUMNS", None)
        subprocess.run(
            [sys.executable, "-m", "rangebar_polars.cli", "bars", "t.csv", "--time-unit", "s"],
            env=environment,
            cwd=tmp_path,
            stdout=theirs,
            timeout=120,
            check=True,
        )
        os.close(theirs)
        shown[width] = os.read(ours, 10_000).decode().splitlines()[:3]
        os.close(ours)
        assert max(map(len, shown[width])) <= width
    assert "vwap" in shown[200][0]
    assert [name in shown[80][0] for name in ("close_time", "open", "close", "vwap")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert "62837.65" in shown[80][2]
