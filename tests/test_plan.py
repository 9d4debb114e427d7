"""The thread that runs a plan, at the end of a program: nothing is lost, and nothing hangs."""

from __future__ import annotations

from tests.support.children import run_child

TRADES = """
import threading, time
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
"""


def test_a_thread_that_outlives_the_main_one_gets_all_bars() -> None:
    script = """
def work():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    print(bars().collect(engine="streaming").height)
    # One that takes its time, but takes.
    slowly = 0
    for frame in bars().collect_batches(chunk_size=1000, maintain_order=True):
        time.sleep(0.02)
        slowly += frame.height
    print(slowly)

threading.Thread(target=work).start()
"""
    assert run_child(TRADES + script) == "30000\n30000\n"


def test_a_program_that_leaves_amid_the_bars_ends() -> None:
    # The plan ends while its bars are still asked for, and the main thread has gone already.
    script = """
from rangebar_polars._plan import run_plan
outer = run_plan(bars(pause=1.0), lambda frame: frame)
print(next(outer).height > 0)
outer.close()
"""
    assert run_child(TRADES + script) == "True\n"


def test_a_program_that_forgets_its_bars_ends() -> None:
    script = """
from rangebar_polars._plan import run_plan
forgotten = run_plan(bars(), lambda frame: frame)
print(next(forgotten).height > 0)
"""
    assert run_child(TRADES + script) == "True\n"
