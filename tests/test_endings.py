"""How runs end before their end: at the end of the program, by signals, in forked processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from tests.support.archive_server import ArchiveServer, Slow, serve
from tests.support.children import child_environment, run_child, without_swallowed_interrupts
from tests.support.made_files import BTC, day_trades, publish

TRADES = """
import atexit, os, sys, threading, time
import polars as pl
import rangebar_polars as rb
from rangebar_polars._source import lazy_source

n = 60_000
TRADES = pl.DataFrame({"timestamp": range(n), "price": [100.0, 101.0] * (n // 2), "quantity": 1.0})

def bars(pause=0.0):
    def frames(request):
        for number, part in enumerate(TRADES.iter_slices(1000)):
            if number == 5:
                time.sleep(pause)
            yield part.select(request.columns)
    lazy = lazy_source(frames, TRADES.schema, name="T", detail="", pure=True)
    return rb.range_bars(lazy, 250)

def fetch():
    from rangebar_polars.store import TradeStore
    store = TradeStore(sys.argv[1])
    given = {"market": "um", "store": store, "base_url": sys.argv[2]}
    return rb.scan_binance("BTCUSDT", "2024-01-30", "2024-01-31", **given)

def when_the_main_thread_has_ended(work, **options):
    def wait_and_work():
        while threading.main_thread().is_alive():
            time.sleep(0.01)
        work()
    threading.Thread(target=wait_and_work, **options).start()
"""

posix = pytest.mark.skipif(os.name != "posix", reason="sends signals to processes")


def archive(root: Path) -> None:
    for number, day in enumerate([date(2024, 1, 30), date(2024, 1, 31)]):
        publish(root, BTC, day_trades(BTC, day, 20_000, 1 + 20_000 * number), day)


def test_one_who_takes_slowly_after_the_main_thread_has_ended_gets_all() -> None:
    script = """
from rangebar_polars._plan import run_plan

def work():
    taken = 0
    for number, frame in enumerate(run_plan(bars(), lambda frame: frame)):
        if number == 1:
            time.sleep(3)
        taken += frame.height
    print(taken)

when_the_main_thread_has_ended(work)
"""
    assert run_child(TRADES + script) == "30000\n"


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_bars_in_an_atexit_handler(engine: str) -> None:
    script = f"""
atexit.register(lambda: print(bars().collect(engine="{engine}").height))
forgotten = iter(bars().collect_batches())
print(next(forgotten).height > 0)
"""
    assert run_child(TRADES + script) == "True\n30000\n"


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_the_archive_when_the_main_thread_has_ended(tmp_path: Path, engine: str) -> None:
    script = f"""
def work():
    print(fetch().collect(engine="{engine}").height, flush=True)

if sys.argv[3] == "thread":
    when_the_main_thread_has_ended(work)
else:
    atexit.register(work)
"""
    archive(tmp_path / "served")
    with serve(tmp_path / "served") as server:
        for when in ("thread", "atexit"):
            store = str(tmp_path / f"store-{when}")
            assert run_child(TRADES + script, store, server.url, when) == "40000\n"


def test_a_daemon_amid_its_bars_does_not_keep_the_program() -> None:
    script = """
def work():
    for _ in range(10_000):
        bars().collect(engine="streaming")

threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
print("end")
"""
    began = time.monotonic()
    assert run_child(TRADES + script) == "end\n"
    assert time.monotonic() - began < 30


@posix
def test_lazy_frames_are_refused_in_a_forked_process() -> None:
    script = """
import warnings
warnings.simplefilter("ignore")
lazy = bars()
doors = {
    "collected": lambda: lazy.collect(),
    "made": lambda: rb.range_bars(TRADES.lazy(), 250),
    "pushed": lambda: rb.RangeBarProcessor(250).push(TRADES.lazy()),
}
for name, door in doors.items():
    child = os.fork()
    if child == 0:
        try:
            door()
        except rb.RangeBarError as error:
            os._exit(0 if "multiprocessing.get_context('spawn')" in str(error) else 1)
        os._exit(2)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
child = os.fork()
if child == 0:
    # No thread of Polars is needed for frames in memory.
    os._exit(rb.range_bars(TRADES, 250).height != 30_000)
print("eager", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_child(TRADES + script) == "collected 0\nmade 0\npushed 0\neager 0\n"


def wait_for_zip(server: ArchiveServer) -> None:
    until = time.monotonic() + 60
    while not server.asked(".zip"):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.2)


def ended(child: subprocess.Popen[str], sent: signal.Signals) -> tuple[float, str, str]:
    """Send a signal; how many seconds the end takes, and what was printed."""
    began = time.monotonic()
    child.send_signal(sent)
    out, error = child.communicate(timeout=60)
    return time.monotonic() - began, out, error


@posix
@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_ctrl_c_while_a_server_is_silent(tmp_path: Path, engine: str) -> None:
    script = f"""
from rangebar_polars._prefetch import VARIABLE
try:
    try:
        fetch().collect(engine="{engine}")
    except KeyboardInterrupt:
        time.sleep(0.001)
except KeyboardInterrupt:
    pass
until = time.monotonic() + 1
while (threads := [t for t in threading.enumerate() if t.name.startswith("rangebar")]):
    if time.monotonic() > until:
        break
    time.sleep(0.01)
print([t.name for t in threads], os.environ.get(VARIABLE))
"""
    archive(tmp_path / "served")
    with serve(tmp_path / "served") as server:
        server.always = Slow(1000, 30)
        arguments = [str(tmp_path / "store"), server.url]
        child = subprocess.Popen(
            [sys.executable, "-c", TRADES + script, *arguments],
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with child:
            wait_for_zip(server)
            took, out, error = ended(child, signal.SIGINT)
    error = without_swallowed_interrupts(error)
    assert (out, error, child.returncode) == ("[] None\n", "", 0)
    assert took < 2
    assert not list(tmp_path.rglob("*.part"))


@posix
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_by_signals(tmp_path: Path, sent: signal.Signals) -> None:
    archive(tmp_path / "served")
    arguments = ["fetch", "BTCUSDT", "--start", "2024-01-30", "--end", "2024-01-31"]
    arguments += ["--market", "um", "--store", str(tmp_path / "store"), "--base-url"]
    with serve(tmp_path / "served") as server:
        server.always = Slow(10_000, 0.1)
        child = subprocess.Popen(
            [sys.executable, "-m", "rangebar_polars.cli", *arguments, server.url],
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with child:
            wait_for_zip(server)
            took, out, error = ended(child, sent)
    assert (out, error, child.returncode) == ("", "rangebar: interrupted\n", 128 + sent)
    assert took < 2
    assert not list(tmp_path.rglob("*.part"))


@posix
def test_a_command_that_does_not_listen_is_ended(tmp_path: Path) -> None:
    # A pipe that says nothing: Polars waits for it, deaf to everything.
    script = """
import sys
from pathlib import Path
from rangebar_polars._files import temporary_path
temporary_path(Path(sys.argv[1])).write_text("half")
sys.argv[1:] = ["bars", "-"]
from rangebar_polars.cli import main
print("ready", flush=True)
sys.exit(main())
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "out.parquet")],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("timestamp,price,quantity\n1,100.0,1.0\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.5)
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=60)
        assert time.monotonic() - began < 2
        assert child.stderr is not None
        assert (child.stderr.read(), child.returncode) == ("rangebar: interrupted\n", 143)
    assert not list(tmp_path.iterdir())
