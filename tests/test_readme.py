"""What the README shows runs."""

from __future__ import annotations

import re

import polars as pl
import pytest

from tests.support.children import REPOSITORY
from tests.support.trades import walk

BLOCKS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)


def test_every_block_of_the_readme(tmp_path, monkeypatch):
    (tmp_path / "trades").mkdir()
    trades = walk(2000)
    trades.write_parquet(tmp_path / "trades" / "one.parquet")
    monkeypatch.chdir(tmp_path)
    names = {"batch": trades}
    # The archive's block asks the exchange; tests/sources/binance has a server of its own for that.
    run = [block for block in BLOCKS if "get_range_bars" not in block]
    assert len(run) == len(BLOCKS) - 1
    for block in run:
        exec(compile(block, "README.md", "exec"), names)
    assert pl.read_parquet("bars.parquet").columns == ["symbol", "close_time", "close", "vwap"]


def test_the_rules_name_the_presets():
    import rangebar_polars as rb

    text = (REPOSITORY / "README.md").read_text()
    for name, threshold in rb.rules.PRESETS.items():
        assert f"`{name}` {threshold}" in text


@pytest.mark.parametrize("column", ["is_complete", "vwap", "individual_trade_count"])
def test_the_columns_are_named(column):
    assert f"`{column}`" in (REPOSITORY / "README.md").read_text()
