"""A store that others have written to: nothing outside is touched, errors name the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store import Origin, TradeStore
from tests.support.trades import days_of_trades

TRADES = days_of_trades(datetime(2024, 1, 1), 2, 20)
DAY = "trades/source=trades/symbol=BTC/month=2024-01/2024-01-01.parquet"
META = "meta/source=trades/symbol=BTC"
STAGED = f"{META}/staging-0/new.tmp"

CALLS: list[Callable[[TradeStore], object]] = [
    lambda store: store.info(),
    lambda store: store.scan("BTC"),
    lambda store: store.verify(),
    lambda store: store.write("BTC", TRADES),
    lambda store: store.delete("BTC"),
]


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    store = TradeStore(tmp_path / "store")
    origin = Origin("a.zip", "0" * 64, TRADES["timestamp"][0].date(), TRADES["timestamp"][0].date())
    store.write("BTC", TRADES, origin=origin)
    store.write("ETH", TRADES)
    return store


def leave_commit(store: TradeStore, content: Any) -> Path:
    folder = store.root / META / "staging-0"
    folder.mkdir()
    (folder / "new.tmp").write_text("staged")
    commit = folder / "commit.json"
    commit.write_text(content if isinstance(content, str) else json.dumps(content))
    return commit


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "content",
    [
        {"moves": [], "removals": ["../victim"]},
        {"moves": [], "removals": ["trades/../../victim"]},
        {"moves": [], "removals": ["{victim}"]},
        {"moves": [[STAGED, "../victim"]], "removals": []},
        {"moves": [[STAGED, "{victim}"]], "removals": []},
        {"moves": [["../victim", DAY]], "removals": []},
        {"moves": [["{victim}", DAY]], "removals": []},
        {"moves": [[f"{META}/staging-0/../../../../../victim", DAY]], "removals": []},
        {"moves": [[f"{META}/staging-0/..", DAY]], "removals": []},
        {"moves": [], "removals": [DAY.replace("BTC", "ETH")]},
        {"moves": [[STAGED, DAY.replace("month=2024-01", "month=2024-02")]], "removals": []},
        {"moves": [[STAGED, DAY, DAY]], "removals": []},
        {"moves": [[STAGED, 7]], "removals": []},
        {"moves": {}, "removals": None},
        [],
        "null",
        "{",
        "",
        "[" * 100_000,
    ],
    ids=lambda content: str(content)[:60],
)
def test_a_crafted_commit_touches_nothing_and_is_named(
    store: TradeStore, content: Any, call: Callable[[TradeStore], object]
) -> None:
    victim = store.root.parent / "victim"
    victim.write_text("precious")
    text = content if isinstance(content, str) else json.dumps(content)
    commit = leave_commit(store, text.replace("{victim}", str(victim)))
    before = {p: p.read_bytes() for p in store.root.rglob("*.parquet")}
    with pytest.raises(RangeBarError) as raised:
        call(store)
    assert str(raised.value).startswith(f"{commit}: damaged, or not a commit of this store")
    assert victim.read_text() == "precious"
    assert {p: p.read_bytes() for p in store.root.rglob("*.parquet")} == before


def test_a_link_does_not_lead_out_of_the_store(store: TradeStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "2024-03-01.parquet").write_text("precious")
    (store.root / "trades/source=trades/symbol=BTC/month=2024-03").symlink_to(outside)
    target = DAY.replace("2024-01", "2024-03")
    leave_commit(store, {"moves": [[STAGED, target]], "removals": [target]})
    with pytest.raises(RangeBarError, match="which a link leads out of the store"):
        store.info()
    assert (outside / "2024-03-01.parquet").read_text() == "precious"


def test_a_linked_staging_folder_is_left_alone(store: TradeStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "new.tmp").write_text("precious")
    (outside / "commit.json").write_text(json.dumps({"moves": [[STAGED, DAY]], "removals": []}))
    (store.root / META / "staging-0").symlink_to(outside)
    assert_frame_equal(store.scan("BTC").collect(), TRADES)
    store.write("BTC", TRADES)
    assert (outside / "new.tmp").read_text() == "precious"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "null",
        '{"format": 9}',
        '{"format": 1}',
        '{"format": 1, "files": []}'.replace("[]", "[1]"),
        '{"format": 1, "files": {"a": null}}',
        '{"format": 1, "files": {"a": {"name": "b", "sha256": "0", "first_day": "2024-01-01", '
        '"last_day": "2024-01-01"}}}',
        '{"format": 1, "files": {"a": {"name": "a", "sha256": 0, "first_day": "2024-01-01", '
        '"last_day": "2024-01-01"}}}',
        '{"format": 1, "files": {"a": {"name": "a", "sha256": "0", "first_day": 1, '
        '"last_day": "2024-01-01"}}}',
        "[" * 100_000,
    ],
    ids=lambda content: content[:60],
)
def test_a_damaged_manifest_is_named(store: TradeStore, content: str) -> None:
    manifest = store.root / META / "sources.json"
    manifest.write_text(content)
    for call in (
        lambda: store.origins("BTC", source="trades"),
        lambda: store.write("BTC", TRADES),
        lambda: store.delete("BTC"),
    ):
        with pytest.raises(RangeBarError, match="not a manifest of this store") as raised:
            call()
        assert str(manifest) in str(raised.value)
    assert store.verify()["file"].to_list() == [f"{META}/sources.json"]
    assert_frame_equal(store.scan("BTC").collect(), TRADES)
