"""The command line: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

pytest.importorskip("cyclopts", reason="the command line is an extra")

import rangebar_polars as rb
from rangebar_polars.cli import main
from rangebar_polars.store import TradeStore
from tests.support.archive_server import serve
from tests.support.children import child_environment
from tests.support.made_files import BTC, day_trades, publish
from tests.support.trades import days_of_trades

TRADES = days_of_trades(datetime(2024, 1, 1), 2, 4000)
BARS = rb.range_bars(TRADES, 50)
assert BARS.height > 100
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def trades(tmp_path: Path) -> Path:
    path = tmp_path / "trades.parquet"
    TRADES.write_parquet(path)
    return path


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".csv":
        return pl.read_csv(path, try_parse_dates=True)
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ipc(path)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow", "feather", "ipc"])
@pytest.mark.parametrize("source", ["parquet", "csv", "arrow"])
def test_files_in_and_out(tmp_path: Path, source: str, suffix: str) -> None:
    given, out = tmp_path / f"trades.{source}", tmp_path / f"bars.{suffix}"
    writer = {"parquet": TRADES.write_parquet, "csv": TRADES.write_csv, "arrow": TRADES.write_ipc}
    writer[source](given)
    assert main(["bars", str(given), "-t", "50", "-o", str(out)]) == 0
    assert_frame_equal(read(out), BARS, check_dtypes=suffix != "csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([given.name, out.name])


def test_a_table_on_the_terminal(trades: Path, capsys: Capture) -> None:
    assert main(["bars", str(trades), "-t", "50", "--rows", "4"]) == 0
    header, _, *rows, footer = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        "bar_id", "open_time", "close_time", "open", "high", "low", "close", "volume", "vwap",
        "trade_count",
    ]  # fmt: skip
    # Each as long as what is in it: no column is cut.
    assert len(rows) == 5
    assert str(BARS["open_time"][0])[:23] in rows[0]
    assert f" {BARS['close'][0]:g} " in rows[0]
    assert footer.startswith(f"{BARS.height} bars; all {BARS.width} columns with --show all")
    assert main(["bars", str(trades), "-t", "50", "--show", "close,is_complete"]) == 0
    header = capsys.readouterr().out.splitlines()[0]
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["close", "is_complete"]
    assert main(["bars", str(trades), "-t", "50", "--show", "all"]) == 0
    assert "last_agg_trade_id" in capsys.readouterr().out
    assert main(["bars", str(trades), "-t", "50", "--show", "clsoe"]) == 1
    assert "--show: bars have no column 'clsoe'; did you mean close?" in capsys.readouterr().err


def test_all_options(tmp_path: Path) -> None:
    odd = TRADES.select(
        T=pl.col("timestamp").dt.epoch("ms"),
        p="price",
        q="quantity",
        m="is_buyer_maker",
        id="agg_trade_id",
        s=pl.when(pl.col("agg_trade_id") % 3 == 0).then(pl.lit("A")).otherwise(pl.lit("B")),
    )
    for part in range(2):
        odd[2000 * part : 2000 * (part + 1)].write_parquet(tmp_path / f"t{part}.parquet")
    out = tmp_path / "bars.parquet"
    arguments = f"""bars {tmp_path}/t*.parquet -o {out} -t 50 -t macro --by s --timestamp T
        --price p --quantity q --is-buyer-maker m --agg-trade-id id --time-unit ms
        --incomplete keep --same-timestamp-close --reset 1d --reset-offset 3h --max-gap 10m"""
    assert main(arguments.split()) == 0
    expected = rb.range_bars(
        odd.with_columns(pl.col("T").cast(pl.Datetime("ms")).cast(pl.Datetime("us"))),
        [50, "macro"],
        by="s",
        columns={
            "timestamp": "T",
            "price": "p",
            "quantity": "q",
            "is_buyer_maker": "m",
            "agg_trade_id": "id",
        },
        incomplete="keep",
        same_timestamp_close=True,
        reset="1d",
        reset_offset="3h",
        max_gap="10m",
    )
    assert_frame_equal(pl.read_parquet(out), expected)
    arguments = f"bars {tmp_path}/t0.parquet -o {out} --no-timestamp --no-quantity --price p"
    assert main(arguments.split()) == 0
    assert "volume" not in pl.read_parquet(out).columns


def test_update_appends_and_twice_adds_nothing(tmp_path: Path, capsys: Capture) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    TRADES[:2500].write_parquet(first)
    TRADES[2000:].write_parquet(second)
    dataset = tmp_path / "bars"
    for path in (first, second, second):
        assert main(["update", str(dataset), str(path), "-t", "50"]) == 0
    assert_frame_equal(pl.read_parquet(dataset / "*.parquet"), BARS)
    assert capsys.readouterr().out.splitlines()[-1] == f"{dataset}: 0 bars added"


def test_fetch_get_and_store(tmp_path: Path, capsys: Capture) -> None:
    days = [date(2024, 1, 30) + timedelta(days=n) for n in range(3)]
    frames = [day_trades(BTC, day, 60, 1 + 60 * n) for n, day in enumerate(days)]
    store = ["--store", str(tmp_path / "store")]
    with serve(tmp_path / "served") as server:
        for day, frame in zip(days, frames, strict=True):
            publish(server.root, BTC, frame, day)
        archive = ["--market", "um", "--base-url", server.url, *store]
        dates = ["--start", "2024-01-30", "--end", "2024-02-01"]
        assert main(["fetch", "BTCUSDT", *dates, *archive]) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("BTCUSDT: 180 trades; 3 files fetched (")
        assert shown.err == ""
        assert (
            main(["fetch", "BTCUSDT", "--start", "2024-01-30", "--end", "2024-02-02", *archive])
            == 1
        )
        assert capsys.readouterr().err == (
            "rangebar: binance-um-aggTrades/BTCUSDT: no trades for 2024-02-02; "
            "--missing skip leaves such days out\n"
        )
        out = tmp_path / "bars.parquet"
        assert main(["get", "BTCUSDT", *dates, *archive, "-t", "50", "-o", str(out)]) == 0
    expected = rb.range_bars(pl.concat(frames), 50)
    assert_frame_equal(pl.read_parquet(out), expected)
    # All of it is stored now: no server is needed.
    offline = ["--market", "um", "--no-revalidate", "--base-url", "http://127.0.0.1:1", *store]
    assert main(["get", "BTCUSDT", *dates, *offline, "-t", "50", "-o", str(out)]) == 0
    capsys.readouterr()

    assert main(["store", "info", *store]) == 0
    assert "binance-um-aggTrades" in capsys.readouterr().out
    assert main(["store", "gaps", "BTCUSDT", *store]) == 0
    assert capsys.readouterr().out == "no gaps\n"
    assert main(["store", "verify", *store]) == 0
    assert capsys.readouterr().out == "all is well\n"
    path = next((tmp_path / "store").rglob("2024-01-31.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    assert main(["store", "verify", *store]) == 1
    assert "damaged" in capsys.readouterr().out
    TradeStore(tmp_path / "store").delete("BTCUSDT", "2024-01-31", "2024-01-31")
    assert main(["store", "gaps", "BTCUSDT", *store]) == 0
    assert "missing_day" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["bars", "nope.parquet"], 1, "no such file: nope.parquet"),
        (["bars", "nope*.parquet"], 1, "no file matches nope*.parquet"),
        (["bars", "{trades}", "-t", "0"], 2, "a range threshold must be between 1 and 100000"),
        (["bars", "{trades}", "-t", "huge"], 2, "'huge' is not a rule"),
        (["bars", "{trades}", "--reset", "1h"], 2, "--reset must be a number of days"),
        (["bars", "{trades}", "--reset-offset", "3h"], 2, "--reset-offset moves the boundaries"),
        (["bars", "{trades}", "--by", "nope"], 1, "'nope' not found, which --by names"),
        (["bars", "{trades}", "--price", "cost"], 1, "column 'cost' not found"),
        (["bars", "{trades}", "-o", "bars.xlsx"], 2, "cannot tell what kind of file this is"),
        (["bars"], 2, "see rangebar --help"),
        (["bars", "{trades}", "--colour", "red"], 2, "see rangebar --help"),
        (["brs"], 2, "see rangebar --help"),
        (["store", "gaps", "BTC", "--store", "nowhere"], 1, "no trades of 'BTC'"),
        (["fetch", "BTC", "--start", "soon"], 2, "--start soon"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    trades: Path, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    assert main([text.format(trades=trades) for text in arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("rangebar: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err


def test_a_bad_trade_leaves_no_file(tmp_path: Path, capsys: Capture) -> None:
    path, out = tmp_path / "bad.parquet", tmp_path / "bars.parquet"
    out.write_bytes(b"what was there before")
    TRADES.with_columns(
        price=pl.when(pl.col("agg_trade_id") == 3001).then(-1.0).otherwise("price")
    ).write_parquet(path)
    assert main(["bars", str(path), "-o", str(out)]) == 1
    assert "column 'price', row 3000" in capsys.readouterr().err
    assert out.read_bytes() == b"what was there before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.parquet", "bars.parquet"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["bars"], ["fetch"], ["get"], ["update"], ["store"], ["store", "verify"]],
)
def test_help_teaches(capsys: Capture, arguments: list[str]) -> None:
    assert main([*arguments, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: rangebar" in shown
    if not arguments:
        assert "rangebar bars trades.parquet -t 0.25%" in shown


def test_as_a_process_of_its_own(trades: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rangebar_polars.cli", *arguments],
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("--version").stdout.strip() == rb.__version__
    good = run("bars", str(trades), "-t", "50")
    assert (good.returncode, good.stderr) == (0, "")
    assert "close_time" in good.stdout
    bad = run("bars", "nope.parquet")
    assert (bad.returncode, bad.stdout, bad.stderr) == (
        1,
        "",
        "rangebar: no such file: nope.parquet\n",
    )
