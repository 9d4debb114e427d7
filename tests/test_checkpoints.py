"""Checkpoints as texts: read for ever, and never after they have been touched."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rangebar_polars as rb
from tests.support.children import REPOSITORY
from tests.support.compare import assert_same_bits
from tests.support.trades import walk

FOLDER = REPOSITORY / "tests" / "checkpoints"
"""Never write these files again: they stand for those that users have kept."""

OPTIONS: dict[str, Any] = {
    "by": "symbol",
    "incomplete": "keep",
    "reset": "1d",
    "max_gap": "3h",
}


def old_trades() -> pl.DataFrame:
    return pl.read_csv(FOLDER / "version-1.trades.csv", schema=walk(1).schema)


def renamed_and_plain() -> pl.DataFrame:
    """With a text side and symbols that were not looked at, and integers for times."""
    side = pl.when("is_buyer_maker").then(pl.lit("sell")).otherwise(pl.lit("buy"))
    return old_trades().select(
        pl.col("timestamp").dt.epoch("ms").alias("ts"),
        pl.col("price").alias("px"),
        "quantity",
        "agg_trade_id",
        "symbol",
        side=side,
    )


OLD: dict[str, tuple[str, pl.DataFrame, int, Any, dict[str, Any]]] = {
    "keys": ("version-1.keys.json", old_trades(), 150, [100, 250], OPTIONS),
    "one key": (
        "version-1.one-key.json",
        renamed_and_plain(),
        150,
        [500, 2000],
        {
            "by": None,
            "columns": {"timestamp": "ts", "price": "px", "quantity": None, "side": None},
            "time_unit": "ms",
            "reset": "1w",
            "reset_offset": "-1d",
            "same_timestamp_close": True,
            "incomplete": "keep",
            "on_overlap": "skip",
        },
    ),
    "no trades": (
        "version-1.no-trades.json",
        old_trades(),
        0,
        [100, 250],
        {"by": "symbol", "max_gap": "3h"},
    ),
}


@pytest.mark.parametrize("kind", OLD)
def test_one_of_version_1_resumes_to_the_same_bars(kind: str) -> None:
    file, trades, seen, rules, options = OLD[kind]
    text = (FOLDER / file).read_text()
    assert json.loads(text)["version"] == 1
    whole = rb.range_bars(trades, rules, **options)
    before = rb.RangeBarProcessor(rules, **options)
    closed = before.push(trades[:seen])

    processor = rb.RangeBarProcessor.from_checkpoint(text)
    if seen:
        assert_same_bits(processor.open_bars(), before.open_bars())
    rest = processor.push(trades[seen:])
    assert_same_bits(pl.concat([closed, rest, processor.finish()]), whole)
    assert rest.height > 10

    lazy, handle = rb.resume_bars(trades[seen:].lazy(), text)
    assert_same_bits(lazy.collect(engine="streaming"), rest)
    # From here on it is one like any other, of the newest version.
    assert json.loads(handle.checkpoint())["version"] == 2
    again = rb.RangeBarProcessor.from_checkpoint(handle.checkpoint())
    at_once = rb.RangeBarProcessor(rules, **options)
    at_once.push(trades)
    assert_same_bits(again.open_bars(), at_once.open_bars())


def a_text() -> str:
    processor = rb.RangeBarProcessor([100, 250], **OPTIONS)
    processor.push(old_trades()[:50])
    return processor.checkpoint()


def test_a_new_processor_has_one_too() -> None:
    options: dict[str, Any] = {"by": "symbol", "reset": "1w", "reset_offset": "-1d"}
    text = rb.RangeBarProcessor(250, **options).checkpoint()
    processor = rb.RangeBarProcessor.from_checkpoint(text)
    trades = old_trades()
    assert_same_bits(processor.push(trades), rb.range_bars(trades, 250, **options))


def test_it_is_json_of_version_2() -> None:
    written = json.loads(a_text())
    assert (written["format"], written["version"]) == ("rangebar_polars checkpoint", 2)


def test_one_that_is_cut_short_is_refused() -> None:
    text = a_text()
    for end in range(0, len(text), 13):
        with pytest.raises(rb.CheckpointError):
            rb.RangeBarProcessor.from_checkpoint(text[:end])


@given(data=st.data())
def test_one_that_is_edited_anywhere_is_refused(data: st.DataObject) -> None:
    for text in (a_text(), (FOLDER / "version-1.one-key.json").read_text()):
        at = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.sampled_from([c for c in '0123456789abc"{,' if c != text[at]]))
        with pytest.raises(rb.CheckpointError):
            rb.RangeBarProcessor.from_checkpoint(text[:at] + other + text[at + 1 :])


def test_what_was_edited_is_not_mistaken_for_something_else() -> None:
    text = a_text()
    for old, new in (
        ('"rows":50', '"rows":51'),
        ('{"range":100}', '{"range":101}'),
        ('"max_gap":"3h"', '"max_gap":"4h"'),
        ('"on_overlap":"error"', '"on_overlap":"skip"'),
    ):
        assert old in text
        with pytest.raises(rb.CheckpointError, match="has been changed"):
            rb.RangeBarProcessor.from_checkpoint(text.replace(old, new, 1))


def test_its_version_cannot_be_edited() -> None:
    """Read as of version 1, a column `symbol` would no longer tell keys apart."""
    for text, other in ((a_text(), 1), ((FOLDER / "version-1.keys.json").read_text(), 2)):
        version = json.loads(text)["version"]
        for claimed in (other, 0):
            edited = text.replace(f'"version":{version}', f'"version":{claimed}', 1)
            with pytest.raises(rb.CheckpointError):
                rb.RangeBarProcessor.from_checkpoint(edited)
            with pytest.raises(rb.CheckpointError):
                rb.resume_bars(old_trades().lazy(), edited)


def test_one_of_a_newer_version_asks_for_an_upgrade() -> None:
    for claimed in (3, 10**6):
        text = a_text().replace('"version":2', f'"version":{claimed}', 1)
        with pytest.raises(rb.CheckpointError, match=f"version {claimed}, .*upgrade"):
            rb.RangeBarProcessor.from_checkpoint(text)


def test_what_is_not_a_checkpoint_at_all() -> None:
    other = a_text().replace("rangebar_polars checkpoint", "another checkpoint")
    for text in ('{"format":"x"}', "{}", "[]", "", "null", other):
        with pytest.raises(rb.CheckpointError, match="not a rangebar_polars checkpoint"):
            rb.RangeBarProcessor.from_checkpoint(text)


def test_options_of_a_checkpoint_are_those_it_was_made_with() -> None:
    trades = old_trades()
    chosen: tuple[dict[str, Any], ...] = (
        {},
        {"by": None},
        {"by": ["symbol", "is_buyer_maker"]},
        {"columns": {"quantity": None, "is_buyer_maker": None, "agg_trade_id": None}},
        {"max_gap": "90m", "reset": "1mo", "reset_offset": "17h", "same_timestamp_close": True},
        {"on_overlap": "skip", "incomplete": "keep"},
        {"decimals": {"price": 2, "quantity": 10}},
    )
    for options in chosen:
        for rule in ("0.5%", [100, 250]):
            text = rb.RangeBarProcessor(rule, **options).checkpoint()
            processor = rb.RangeBarProcessor.from_checkpoint(text)
            bars = [processor.push(trades[:111])]
            text = processor.checkpoint()
            processor = rb.RangeBarProcessor.from_checkpoint(text)
            # Read and written again it is the same text.
            assert processor.checkpoint() == text
            bars += [processor.push(trades[111:]), processor.finish()]
            assert_same_bits(pl.concat(bars), rb.range_bars(trades, rule, **options))
