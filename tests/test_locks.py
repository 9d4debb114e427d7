"""Threads and signal handlers at one processor: nothing hangs, nothing is lost."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest

import rangebar_polars as rb
from tests.support.children import run_child
from tests.support.compare import assert_same_bits
from tests.support.trades import walk

SECONDS = 60
"""After which a child counts as hanging."""


@pytest.fixture
def restless() -> Iterator[None]:
    """Python changes threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(*work: Callable[[], object]) -> list[BaseException]:
    """Run all of it at once; what was raised."""
    raised: list[BaseException] = []
    barrier = threading.Barrier(len(work))

    def run(each: Callable[[], object]) -> None:
        barrier.wait(SECONDS)
        try:
            each()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            raised.append(error)

    threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return raised


CALLS = {
    "report": "processor.report",
    "open_bars": "processor.open_bars()",
    "checkpoint": "processor.checkpoint()",
    "copy": "copy.copy(processor)",
    "push": "processor.push(other)",
    "push_trade": "processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key='b')",
}

BEGINNING = f"""
import copy, faulthandler, signal, sys, threading
import polars as pl
import rangebar_polars as rb
faulthandler.dump_traceback_later({SECONDS}, exit=True)
sys.setswitchinterval(1e-6)
processor = rb.RangeBarProcessor(250, by="symbol", incomplete="keep")
other = pl.DataFrame(
    {{"timestamp": [1], "price": [5.0], "quantity": [1.0], "symbol": ["b"]}}
)
calls = 0
def call(*_):
    global calls
    calls += 1
    CALL
def trades():
    # Every other one closes a bar.
    for i in range(6000):
        bars = processor.push_trade(
            timestamp=i, price=100.0 + i % 2, quantity=1.0, key="a"
        )
        yield bars
"""

THREAD = """
stop = threading.Event()
def beside():
    while not stop.is_set():
        call()
thread = threading.Thread(target=beside)
thread.start()
closed = sum(bars.height for bars in trades() if bars is not None)
stop.set()
thread.join()
"""

HANDLER = """
signal.signal(signal.SIGALRM, call)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
closed = sum(bars.height for bars in trades() if bars is not None)
signal.setitimer(signal.ITIMER_REAL, 0)
"""

END = """
assert calls > 10, calls
assert closed == 3000, closed
bars = processor.open_bars().filter(symbol="b")
print(calls, bars["trade_count"].sum())
"""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("beside", [THREAD, HANDLER], ids=["thread", "handler"])
def test_a_call_beside_trades_that_close_bars(beside: str, call: str):
    if beside is HANDLER and not hasattr(__import__("signal"), "setitimer"):
        pytest.skip("no interval timer here")
    script = BEGINNING.replace("CALL", CALLS[call]) + beside + END
    calls, others = map(int, run_child(script).split())
    # Each trade that was taken is there, whatever it came in between.
    assert others == (calls if call.startswith("push") else 0)


def test_a_handler_is_refused_in_the_middle_of_a_push_of_batches():
    # A push of several batches is taken as a whole or not at all: what is pushed in its middle
    # would be lost with it.
    script = """
import signal, time
import polars as pl
import rangebar_polars as rb
one = pl.DataFrame({"timestamp": [1], "price": [5.0], "quantity": [1.0]})
processor = rb.RangeBarProcessor(250, incomplete="keep")
said = []
def handler(*_):
    assert processor.open_bars().height == 0
    assert '"rows":0' in processor.checkpoint() and processor.report.rows == 0
    for call in (
        lambda: processor.push(one),
        lambda: processor.push(one.lazy()),
        lambda: processor.push_trade(timestamp=1, price=5.0, quantity=1.0),
        processor.finish,
    ):
        try:
            call()
        except rb.RangeBarError as error:
            said.append(str(error))
signal.signal(signal.SIGALRM, handler)
def slow(frame):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    time.sleep(0.5)
    return frame
processor.push(one.lazy().map_batches(slow))
assert len(said) == 4, said
assert all("in the middle of a push of several batches" in text for text in said), said
assert processor.open_bars()["trade_count"].to_list() == [1]
assert processor.push(one).height == 0
"""
    run_child(script)


@pytest.mark.usefixtures("restless")
def test_the_first_trades_of_several_threads_make_one_machine():
    for _ in range(300):
        processor = rb.RangeBarProcessor(250, by="symbol", incomplete="keep")

        def push(key: str, processor: rb.RangeBarProcessor = processor) -> None:
            processor.push_trade(timestamp=1, price=5.0, quantity=1.0, key=key)

        assert in_threads(*(lambda key=key: push(key) for key in "abcd")) == []
        assert processor.open_bars()["trade_count"].to_list() == [1] * 4


@pytest.mark.usefixtures("restless")
def test_a_first_push_that_fails_takes_no_other_trade_with_it():
    bad = pl.LazyFrame({"timestamp": [1, 2], "price": [5.0, None], "quantity": [1.0, 1.0]})
    for _ in range(100):
        processor = rb.RangeBarProcessor(250, incomplete="keep")
        raised = in_threads(
            lambda processor=processor: processor.push(bad),
            lambda processor=processor: processor.push_trade(timestamp=1, price=5.0, quantity=1.0),
        )
        assert [type(error) for error in raised] == [rb.InvalidTradeError]
        assert processor.open_bars()["trade_count"].to_list() == [1]


@pytest.mark.usefixtures("restless")
def test_random_calls_of_several_threads_lose_nothing():
    trades = walk(400).with_columns(symbol=pl.lit("x"))
    processor = rb.RangeBarProcessor(250, by="symbol", incomplete="keep")

    def push(key: str) -> None:
        mine = trades.with_columns(symbol=pl.lit(key))
        for start in range(0, 400, 40):
            batch = mine[start : start + 40]
            processor.push(batch.lazy() if start % 80 else batch)
            copy.copy(processor)

    def look() -> None:
        for _ in range(30):
            text = processor.checkpoint()
            again = rb.RangeBarProcessor.from_checkpoint(text)
            assert again.checkpoint() == text

    assert in_threads(*(lambda key=key: push(key) for key in "abc"), look) == []
    want = rb.range_bars(trades, 250, by="symbol", incomplete="keep")
    for key in "abc":
        left = processor.open_bars().filter(symbol=key).drop("symbol")
        assert_same_bits(left, want.tail(1).drop("symbol"))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda processor: pickle.loads(pickle.dumps(processor)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by", ["symbol", None])
@pytest.mark.parametrize("overlap", ["error", "skip"])
def test_a_copy_goes_on_by_itself(way: str, by: str | None, overlap: str):
    trades = walk(300).drop("agg_trade_id")
    if by is None:
        trades = trades.drop("symbol")
    options: dict[str, Any] = {"by": by, "on_overlap": overlap, "incomplete": "keep"}
    # Some trades of one instant on either side of the cut: a copy is no resumed checkpoint.
    trades = trades.with_columns(
        timestamp=pl.when(pl.int_range(300).is_between(140, 160))
        .then(pl.col("timestamp").get(140))
        .otherwise("timestamp")
    )
    want = rb.range_bars(trades, [100, 250], by=by, incomplete="keep")
    processor = rb.RangeBarProcessor([100, 250], **options)
    first = processor.push(trades[:150])
    again = WAYS[way](processor)
    assert again.report == processor.report
    before = processor.checkpoint()
    rest = pl.concat([first, again.push(trades[150:]), again.finish()])
    assert_same_bits(rest, want)
    assert processor.checkpoint() == before
    assert_same_bits(pl.concat([first, processor.push(trades[150:]), processor.finish()]), want)
    with pytest.raises(rb.RangeBarError, match="finished"):
        WAYS[way](processor).push(trades)


@pytest.mark.parametrize("way", WAYS)
def test_a_new_processor_is_copied_too(way: str):
    again = WAYS[way](rb.RangeBarProcessor(250))
    trades = walk(100).drop("symbol")
    assert_same_bits(again.push(trades), rb.range_bars(trades, 250))
