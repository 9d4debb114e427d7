"""Signals at random instants through every door that takes long, and what they leave behind.

`python -m tests.torture.interrupts --minutes 60`; see `--help`. Three kinds of rounds:

- a process that catches Ctrl-C and goes on: every door of the library, many rounds each;
- a process that dies of SIGTERM or SIGKILL in the library: the next run finds everything in order,
  and clears away what was left;
- the command line with SIGINT, SIGTERM and SIGKILL.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from rangebar_polars.store import TradeStore
from tests.support.archive_server import ArchiveServer, Slow, serve
from tests.support.children import child_environment
from tests.support.made_files import BTC, day_trades, publish
from tests.support.trades import spread, walk
from tests.torture.child import DAYS, DOORS, left_over

__all__ = ["COMMANDS", "Report", "command_rounds", "library_rounds", "world"]

SLOWEST_S = 2.0
"""How long an ending may take, on a machine that does other things too."""

ROWS = 400_000
DEADLINE_S = 30.0

_READY = "import sys, rangebar_polars.cli as c; print('ready', flush=True); sys.exit(c.main())"

COMMANDS: dict[str, list[str]] = {
    "bars": ["bars", "{file}", "-t", "50", "-o", "{folder}/out.parquet"],
    "bars to a pipe": ["bars", "{file}", "-t", "50", "-o", "-"],
    "update": ["update", "{folder}/bars", "{file}", "-t", "50"],
    "fetch": ["fetch", "BTCUSDT", "--start", DAYS[0], "--end", DAYS[1], "--market", "um",
              "--store", "{folder}/fetched", "--base-url", "{url}"],
    "get": ["get", "BTCUSDT", "--start", DAYS[0], "--end", DAYS[1], "--market", "um", "-t", "50",
            "--store", "{folder}/fetched", "--base-url", "{url}", "-o", "{folder}/got.parquet"],
    "store verify": ["store", "verify", "--store", "{folder}/full"],
}  # fmt: skip


@dataclass
class Report:
    """What happened, and everything that should not have."""

    signals: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list[str])

    def fault(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")
        print(f"FAULT {where}: {what}", flush=True)

    def __str__(self) -> str:
        lines = [f"{sum(self.signals.values())} signals, {len(self.faults)} faults"]
        lines += [f"  {name}: {count}" for name, count in sorted(self.signals.items())]
        lines += [f"  outcome {name}: {count}" for name, count in sorted(self.outcomes.items())]
        for name, took in sorted(self.took.items()):
            times = sorted(took)
            middle, high = times[len(times) // 2], times[-1]
            lines.append(f"  {name}: ends in {middle:.3f} s (median), {high:.3f} s (longest)")
        return "\n".join([*lines, *self.faults])


@contextmanager
def world(rows: int = ROWS) -> Generator[tuple[Path, ArchiveServer]]:
    """Make a folder with trades, and serve an archive that takes its time."""
    days = [date.fromisoformat(DAYS[0]) + timedelta(days=n) for n in range(6)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trades = spread(walk(rows).drop("symbol"), datetime(2024, 1, 1), timedelta(days=3))
        trades.write_parquet(folder / "trades.parquet", row_group_size=10_000)
        TradeStore(folder / "full").write("S", trades, source="s")
        for number, day in enumerate(days):
            publish(folder / "served", BTC, day_trades(BTC, day, 20_000, 1 + 20_000 * number), day)
        with serve(folder / "served") as server:
            server.always = Slow(20_000, 0.02)
            yield folder, server


def library_rounds(
    door: str, folder: Path, url: str, rounds: int, rng: random.Random, report: Report
) -> None:
    """Interrupt one process of the library again and again."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.child", door, str(folder), url, str(rounds)],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    usual: float | None = None
    with child, _Watchdog(child, rounds):
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(rounds):
            if "begin" not in _heard(child.stdout):
                report.fault(door, f"died in round {number}")
                break
            began = time.monotonic()
            sent = None
            if usual is not None:
                time.sleep(rng.uniform(0, usual))
                child.send_signal(signal.SIGINT)
                sent = time.monotonic()
                report.signals["SIGINT, caught"] += 1
            end = _heard(child.stdout)
            if not end:
                report.fault(door, f"no end of round {number}")
                break
            child.stdin.write("\n")
            child.stdin.flush()
            outcome, left = end["outcome"], end["left"]
            report.outcomes[f"{door}: {outcome}"] += 1
            if usual is None:
                usual = max(0.0, end["at"] - began)
                continue
            assert sent is not None
            took = max(0.0, end["at"] - sent) + end["settled"]
            if outcome == "interrupted":
                report.took[door].append(took)
            if outcome == "interrupted" and took > SLOWEST_S:
                report.fault(door, f"took {took:.2f} s to end")
            if any(left.values()):
                report.fault(door, f"left {left} behind ({outcome})")
        _, error = child.communicate(timeout=DEADLINE_S)
        if child.returncode != 0:
            report.fault(door, f"exit code {child.returncode}: {error[-2000:]}")
        elif "rangebar_polars" in error:
            report.fault(door, f"printed {error[-1500:]}")
        else:  # in a callback of Python's own, or by Polars
            report.outcomes["printed by others"] += bool(error.strip())


def kill_rounds(
    door: str, folder: Path, url: str, rounds: int, rng: random.Random, report: Report
) -> None:
    """Let processes of the library die, and see that the next run clears up."""
    usual = None
    for number in range(rounds):
        kill = rng.choice([signal.SIGTERM, signal.SIGKILL])
        command = [sys.executable, "-m", "tests.torture.child", door, str(folder), url, "1"]
        child = subprocess.Popen(
            command,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child, _Watchdog(child):
            assert child.stdout is not None
            assert "begin" in _heard(child.stdout)
            began = time.monotonic()
            if usual is None:
                assert _heard(child.stdout)["outcome"] == "done"
                usual = time.monotonic() - began
                continue
            time.sleep(rng.uniform(0, usual))
            child.send_signal(kill)
            report.signals[f"{kill.name}, library"] += 1
        report.outcomes[f"{door}: killed"] += 1
        for root in ("store", "fetched"):
            store = TradeStore(folder / root)
            if not store.verify().is_empty():
                report.fault(door, f"{root} is damaged after round {number}")
    subprocess.run(
        [sys.executable, "-m", "tests.torture.child", door, str(folder), url, "1"],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=DEADLINE_S,
        check=True,
    )
    if left := left_over(folder):
        report.fault(door, f"the run after a kill leaves {left}")


def command_rounds(
    name: str, folder: Path, url: str, rounds: int, rng: random.Random, report: Report
) -> None:
    """Interrupt the command line."""
    values = {"file": folder / "trades.parquet", "folder": folder, "url": url}
    arguments = [text.format(**values) for text in COMMANDS[name]]
    usual: float | None = None
    for _ in range(rounds):
        for made in ("bars", "fetched", ".bars.update"):
            shutil.rmtree(folder / made, ignore_errors=True)
        for made in ("out.parquet", "got.parquet"):
            (folder / made).unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-c", _READY, *arguments],
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with child, _Watchdog(child):
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            began = time.monotonic()
            if usual is None:
                _, error = child.communicate()
                usual = time.monotonic() - began
                assert child.returncode == 0, error
                continue
            kind = rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
            time.sleep(0.05 + rng.uniform(0, usual))
            child.send_signal(kind)
            sent = time.monotonic()
            _, error = child.communicate()
            took = time.monotonic() - sent
        where = f"rangebar {name}, {kind.name}"
        report.signals[f"{kind.name}, command"] += 1
        report.outcomes[f"rangebar {name}: {child.returncode}"] += 1
        if kind == signal.SIGKILL:
            clear(folder)  # beside an output no next run knows of it
            continue
        if took > SLOWEST_S:
            report.fault(where, f"took {took:.2f} s to end")
        if left := [path for path in left_over(folder) if not path.startswith("full")]:
            report.fault(where, f"left {left} behind")
        if child.returncode == 0:  # it was faster
            continue
        if child.returncode == -kind and not error:
            # Python had given the signal back to the system: it was at its very end.
            report.outcomes["at the very end"] += 1
            continue
        report.took[f"rangebar {name}"].append(took)
        said = [line for line in error.splitlines() if line.startswith("rangebar: ")]
        if (
            child.returncode == 128 + kind
            and said == ["rangebar: interrupted"]
            and "Trace" not in error
        ):
            # Polars may have printed that its own tasks were stopped, before we heard.
            report.outcomes["Polars complained"] += len(error.splitlines()) > 1
        else:
            report.fault(where, f"exit code {child.returncode}, said {error!r}")


def clear(folder: Path) -> None:
    """Remove what a kill has left, so that nobody else is blamed for it."""
    for name in left_over(folder):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _heard(stream: IO[str]) -> dict[str, Any]:
    line = stream.readline()
    return json.loads(line) if line else {}


class _Watchdog:
    """Kills a process that hangs, so that whoever reads from it goes on."""

    def __init__(self, child: subprocess.Popen[str], rounds: int = 1) -> None:
        self._child = child
        self._patience = DEADLINE_S * rounds

    def __enter__(self) -> None:
        self._timer = threading.Timer(self._patience, self._child.kill)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description="Signals at random instants, through every door.")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="default: another one")
    parser.add_argument("--only", default="", help="doors whose name begins like this")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    rng, report = random.Random(given.seed), Report()
    until = time.monotonic() + 60 * given.minutes
    jobs = [(library_rounds, door, 12) for door in DOORS]
    jobs += [(kill_rounds, door, 4) for door in ("update", "store write", "fetch streaming")]
    jobs += [(command_rounds, name, 5) for name in COMMANDS]
    jobs = [job for job in jobs if job[1].startswith(given.only)]
    with world() as (folder, server):
        while time.monotonic() < until:
            rng.shuffle(jobs)
            for run, name, rounds in jobs:
                if time.monotonic() > until:
                    break
                run(name, folder, server.url, rounds, rng, report)
                clear(folder)
            print(report, flush=True)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
