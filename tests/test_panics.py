"""A panic on purpose at every door: an error like any other, and the state is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest

import rangebar_polars as rb
from rangebar_polars import _internal
from tests.support.compare import assert_same_bits
from tests.support.trades import walk

pa = pytest.importorskip("pyarrow")

BUG = "this is a bug in rangebar_polars, please report it: a panic that a test asked for"
TRADES = walk(40_000)
OPTIONS: dict[str, Any] = {"by": "symbol", "incomplete": "keep"}
TRADE: dict[str, Any] = {
    "timestamp": TRADES["timestamp"][-1],
    "price": 1e6,
    "quantity": 1.0,
    "is_buyer_maker": True,
    "agg_trade_id": 10**9,
    "first_trade_id": 1,
    "last_trade_id": 1,
}


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    _internal._panic_next(None)


def panics(place: str, call: Callable[[], object]) -> None:
    _internal._panic_next(place)
    with pytest.raises(Exception, match=BUG) as raised:
        call()
    assert isinstance(raised.value, pl.exceptions.ComputeError), type(raised.value)


def at_work(rows: int) -> rb.RangeBarProcessor:
    processor = rb.RangeBarProcessor([100, 250], **OPTIONS)
    processor.push(TRADES[:rows])
    key = TRADES["symbol"][0]
    processor.push_trade(**{**TRADE, "timestamp": TRADES["timestamp"][rows], "key": key})
    return processor


REST = TRADES[20_001:].with_columns(pl.col("agg_trade_id") + 2 * 10**9)
OF_ONE_KEY = REST.with_columns(symbol=pl.lit("z"))
KNOWN: dict[str, Any] = {**TRADE, "agg_trade_id": 3 * 10**9, "price": 5e6}

CALLS: dict[str, Callable[[rb.RangeBarProcessor], Any]] = {
    "push": lambda processor: processor.push(REST),
    "push of a few": lambda processor: processor.push(REST[:100]),
    "push of one key": lambda processor: processor.push(OF_ONE_KEY),
    "push of a plan": lambda processor: processor.push(REST.lazy()),
    "push of arrow": lambda processor: processor.push(REST.to_arrow()),
    "push_trade": lambda processor: processor.push_trade(**KNOWN, key=TRADES["symbol"][0]),
    "push_trade of a new key": lambda processor: processor.push_trade(**KNOWN, key="new"),
}
"""What changes a processor."""

LOOKS: dict[str, Callable[[rb.RangeBarProcessor], Any]] = {
    "open_bars": lambda processor: processor.open_bars(),
    "finish": lambda processor: processor.finish(),
}
"""What makes a frame and changes nothing."""


def places(name: str) -> list[str]:
    """Where a call comes by: a known key is not looked up, and a new one closes no bar."""
    if name == "push_trade":
        return ["door", "machine", "frame"]
    if name == "push_trade of a new key":
        return ["door", "keys", "machine"]
    return ["door", "keys", "machine", "frame"]


@pytest.mark.parametrize("name", CALLS)
def test_a_push_that_panics_leaves_no_trace(name: str):
    want = CALLS[name](at_work(20_000))
    processor = at_work(20_000)
    before, report = processor.checkpoint(), processor.report
    for place in places(name):
        if place == "frame" and name == "push of one key":
            continue
        panics(place, lambda: CALLS[name](processor))
        assert processor.checkpoint() == before
        assert processor.report == report
    got = CALLS[name](processor)
    if want is None:
        assert got is None
    else:
        assert_same_bits(got, want)


@pytest.mark.parametrize("name", CALLS)
def test_a_first_push_that_panics_leaves_a_new_processor(name: str):
    new = rb.RangeBarProcessor([100, 250], **OPTIONS)
    before = new.checkpoint()
    reached = ["door", "machine"] if name.startswith("push_trade") else ["door", "keys", "machine"]
    for place in reached:
        panics(place, lambda: CALLS[name](new))
        assert new.checkpoint() == before
    other = pl.DataFrame({"timestamp": [1], "price": [1], "quantity": [1], "symbol": [1]})
    assert new.push(other).height == 0


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_that_panics_changes_nothing(name: str):
    processor = at_work(20_000)
    before = processor.checkpoint()
    for place in ("door", "frame"):
        panics(place, lambda: LOOKS[name](processor))
        assert processor.checkpoint() == before
    assert_same_bits(LOOKS[name](processor), LOOKS[name](at_work(20_000)))


def test_checkpoints_that_panic():
    processor = at_work(2000)
    before = processor.checkpoint()
    panics("door", processor.checkpoint)
    assert processor.checkpoint() == before
    panics("door", lambda: rb.RangeBarProcessor.from_checkpoint(before))
    panics("state", lambda: rb.RangeBarProcessor.from_checkpoint(before))
    assert rb.RangeBarProcessor.from_checkpoint(before).checkpoint() == before


def test_a_state_that_may_be_half_changed_is_refused():
    trades = TRADES[:1].select("price")
    text = rb.RangeBarProcessor(250, columns={"timestamp": None, "quantity": None})
    text.push(trades)
    checkpoint = _internal.Checkpoint(text.checkpoint())
    options = text._options.to_json()
    stream = _internal.BarStream(trades[:0], ["price"], ["price"], None, options, None)
    panics("state", lambda: stream.resume(checkpoint, None))
    for call in (lambda: stream.push(trades), stream.open_bars, stream.report, stream.finish):
        with pytest.raises(rb.RangeBarError, match="resume a checkpoint from before, or start"):
            call()


PLANS: dict[str, Callable[[], Any]] = {
    "range_bars": lambda: rb.range_bars(TRADES, 250, **OPTIONS),
    "range_bars of a plan": lambda: rb.range_bars(TRADES.lazy(), 250, **OPTIONS).collect(),
    "with_bar_id": lambda: rb.with_bar_id(TRADES, 250, by="symbol"),
    "with_bar_id of a plan": lambda: rb.with_bar_id(TRADES.lazy(), 250, by="symbol").collect(),
}


@pytest.mark.parametrize("name", PLANS)
def test_frames_and_plans_that_panic(name: str):
    want = PLANS[name]()
    panics("door", PLANS[name])
    panics("machine", PLANS[name])
    assert_same_bits(PLANS[name](), want)


def test_a_plan_that_panics_while_it_runs():
    bars = rb.range_bars(pl.concat([TRADES.lazy(), REST.lazy()]), 250, **OPTIONS)
    for place in ("keys", "machine", "frame"):
        # Not on the schema's account, but when batches come.
        lazy = bars.filter(pl.col("close") > 0)
        panics(place, lambda lazy=lazy: lazy.collect())
    assert bars.head(1).collect().height == 1


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_expressions_that_panic(engine: Any):
    one_key = TRADES.filter(pl.col("symbol") == TRADES["symbol"][0]).lazy()
    plans = [
        one_key.select(rb.bar_id(rule=250)),
        one_key.select(rb.bars(rule=250)),
        one_key.select(rb.bar_id(rule=250).over("symbol")),
        one_key.group_by("symbol").agg(rb.bars(rule=250)),
    ]
    for plan in plans:
        for place in ("door", "machine"):
            panics(place, lambda plan=plan: plan.collect(engine=engine))
        assert plan.collect(engine=engine).height > 0


def test_options_that_panic():
    panics("door", lambda: rb.RangeBarProcessor(250))
    panics("door", lambda: rb.rules.Range(250))
    panics("door", lambda: _internal.check_rule('{"range": 250}'))


def test_arrow_and_text_that_panic():
    table = pa.table({"price": [1.0]})
    panics("door", lambda: _internal.ArrowBatches(table.__arrow_c_stream__()))
    batches = _internal.ArrowBatches(table.__arrow_c_stream__())
    panics("door", lambda: next(batches))
    # It cannot go on where it was, so it has ended.
    assert list(batches) == []
    fields = [("price", "price")]
    panics("door", lambda: _internal.parse_csv(b"1.5\n", fields, 1, (0, 1)))
    frame, fault = _internal.parse_csv(b"1.5\n", fields, 1, (0, 1))
    assert fault is None
    assert frame is not None
    assert frame["price"].to_list() == [1.5]
