"""The store's and the archive's benchmark: ``python -m benches.store_bench [--quick]``.

Every measurement is a process of its own; contenders take turns, and medians are compared. The
table goes to ``.bench/store.md``, the figures to ``.bench/store.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from benches.store_data import MAIN, ensure_csv, ensure_months, ensure_parquet
from rangebar_polars.store import TradeStore

__all__ = ["main"]

_REPOSITORY = Path(__file__).resolve().parents[1]
_FOLDER = _REPOSITORY / ".bench"
_REAL = _REPOSITORY.parent / "shared" / "data"


@dataclass(frozen=True)
class Run:
    """Medians of several processes that did the same."""

    seconds: float
    peak_mb: float
    count: int


def run(job: str, *arguments: str, **variables: str) -> Run:
    """Run a job once, in a process of its own."""
    path = os.pathsep.join(filter(None, [str(_REPOSITORY), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "benches.store_jobs", job, *arguments],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{job} failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Run(found["seconds"], found["peak_mb"], found["count"])


def alternate(runs: int, **jobs: Sequence[str]) -> dict[str, Run]:
    """Let jobs take turns; all must count the same rows."""
    # In flight: as many row groups as threads, for all alike.
    groups = str(pl.thread_pool_size())
    found: dict[str, list[Run]] = {name: [] for name in jobs}
    for turn in range(runs + 1):
        for name, job in jobs.items():
            result = run(*job, POLARS_ROW_GROUP_PREFETCH_SIZE=groups)
            if turn:  # the first turn only fills the page cache
                found[name].append(result)
    counts = {result.count for results in found.values() for result in results}
    if len(counts) != 1:
        sys.exit(f"contenders disagree on the rows: {counts}")
    return {
        name: Run(
            statistics.median(r.seconds for r in results),
            max(r.peak_mb for r in results),
            results[0].count,
        )
        for name, results in found.items()
    }


@contextmanager
def served(folder: Path) -> Generator[str]:
    """Serve a folder on loopback from a process of its own."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def main_bytes(root: Path, symbol: str) -> float:
    """Bytes a row that the four main columns take in the store, with all that goes with them."""
    import pyarrow.parquet as pq

    mine = {"timestamp", "price_units", "price_divisor", "quantity", "is_buyer_maker"}
    size = rows = 0
    for path in root.rglob(f"symbol={symbol}/**/*.parquet"):
        meta = pq.read_metadata(path)  # pyright: ignore
        rows += meta.num_rows  # pyright: ignore
        for group in (meta.row_group(i) for i in range(meta.num_row_groups)):  # pyright: ignore
            columns = [group.column(i) for i in range(group.num_columns)]  # pyright: ignore
            size += sum(c.total_compressed_size for c in columns if c.path_in_schema in mine)  # pyright: ignore
    return size / rows


def real_files(folder: Path) -> dict[str, tuple[float, float]]:
    """Bytes a row of each real file: in the store, and by Polars' default writer."""
    found: dict[str, tuple[float, float]] = {}
    store = TradeStore(folder)
    for path in sorted(_REAL.glob("*.parquet")):
        raw = pl.read_parquet(path)
        names = [name for name in MAIN if name in raw.columns]
        frame = raw.select(
            pl.col("timestamp").cast(pl.Datetime("ms")).cast(pl.Datetime("us")),
            pl.col("price", "quantity").cast(pl.Float64),
            *[name for name in names if name == "is_buyer_maker"],
        )
        symbol = path.stem.replace("_", "-")
        store.write(symbol, frame.with_row_index("agg_trade_id"))
        plain = folder / f"{symbol}.parquet"
        frame.write_parquet(plain)
        found[path.stem] = (main_bytes(folder, symbol), plain.stat().st_size / frame.height)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2M rows and small months")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--months", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--skip-months", action="store_true")
    given = parser.parse_args(arguments)
    rows = 2_000_000 if given.quick else 20_000_000
    month_rows = 2_000_000 if given.quick else 48_000_000
    work = _FOLDER / "store_work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)

    lines = ["| what | figure | goal |", "| --- | --- | --- |"]
    figures: dict[str, object] = {}

    def note(what: str, figure: str, goal: str = "") -> None:
        lines.append(f"| {what} | {figure} | {goal} |")
        print(lines[-1], flush=True)

    parquet, csv = ensure_parquet(_FOLDER, rows), ensure_csv(_FOLDER, rows)
    store = work / "store"
    wrote = run("write_store", str(store), str(parquet))
    rate = wrote.count / wrote.seconds / 1e6
    note(f"write {rows:,} rows", f"{rate:.1f} M rows/s, peak {wrote.peak_mb:.0f} MB")
    size = main_bytes(store, "BENCH")
    note("bytes a row, four main columns, simulation", f"{size:.2f}", "6.5")
    scans = alternate(
        given.runs,
        store=["scan_store", str(store)],
        polars=["scan_parquet", str(parquet)],
    )
    ratio = scans["polars"].seconds / scans["store"].seconds
    note("scan of four columns against Polars' default Parquet", f"{ratio:.2f} times", "1.8")
    csvs = alternate(given.runs, ours=["csv_ours", str(csv)], polars=["csv_polars", str(csv)])
    pace = csvs["polars"].seconds / csvs["ours"].seconds
    note("CSV decoding against pl.scan_csv", f"{pace:.2f} times", "0.8")
    figures |= {
        "write": asdict(wrote),
        "bytes_a_row": size,
        "scans": {name: asdict(found) for name, found in scans.items()},
        "csv": {name: asdict(found) for name, found in csvs.items()},
    }
    figures["real"] = real = real_files(work / "real")
    for name, (ours, plain) in real.items():
        note(f"bytes a row, {name}", f"{ours:.2f} (Polars' default {plain:.2f})")
    if not given.skip_months:
        archive = ensure_months(_FOLDER, max(given.months), month_rows)
        figures["months"] = months = {}
        with served(archive) as url:
            for count in given.months:
                root = work / f"months-{count}"
                found = run("bars", url, str(root), str(count))
                months[count] = asdict(found)
                shutil.rmtree(root)
                note(
                    f"{count} months of {month_rows:,} rows, server to bars",
                    f"{found.seconds:.0f} s, peak {found.peak_mb:.0f} MB, {found.count} bars",
                    "250 MB" if count == 1 else "flat",
                )
    shutil.rmtree(work)
    (_FOLDER / "store.md").write_text("\n".join(lines) + "\n")
    (_FOLDER / "store.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
