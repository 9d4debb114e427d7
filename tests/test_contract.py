"""One contract for every door: what a rule is, which options there are, and what makes no sense."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import polars as pl
import pytest

import rangebar_polars as rb
from rangebar_polars import _options
from rangebar_polars._options import BarOptions
from rangebar_polars.rules import Range
from tests.support.calls import (
    CALLS,
    FUNCTIONS,
    ID_CALLS,
    MANY_RULES,
    ON_FRAMES,
    TRADES,
)
from tests.support.compare import assert_same_bits
from tests.support.doors import BAR_DOORS, ID_DOORS
from tests.support.trades import walk

DEFAULTS = {field.name: field.default for field in fields(BarOptions) if field.name != "rules"}


def test_an_option_is_a_field_and_a_keyword() -> None:
    assert list(get_type_hints(_options.BarKeywords)) == [
        *(name for name in DEFAULTS if name != "incomplete"),
        "incomplete",
    ]
    assert set(get_type_hints(_options.BarIdKeywords)) == {*DEFAULTS} - {"incomplete"}
    for keywords, more in (
        (_options.TradeKeywords, _options.BarKeywords),
        (_options.TradeIdKeywords, _options.BarIdKeywords),
    ):
        assert set(get_type_hints(keywords)) == {*get_type_hints(more), "by", "columns"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_signature_shows_every_option(name: str) -> None:
    function = FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    assert "keywords" not in parameters
    assert "rule" in parameters
    own = {"update_bars": {"on_overlap": "skip"}, "get_n_range_bars": {"reset": "1d"}}
    wanted = {**DEFAULTS, **own.get(name, {})}
    if name.endswith("bar_id"):
        assert "incomplete" not in parameters
        del wanted["incomplete"]
    shown = {option: parameters[option].default for option in wanted}
    assert shown == wanted
    for option in wanted:
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[option].annotation is not inspect.Parameter.empty
    on_frames = name in ON_FRAMES or name in ("range_bars", "with_bar_id")
    for option, default in {"by": rb.columns.AUTO, "columns": None}.items():
        assert (option in parameters) == on_frames
        if on_frames:
            assert parameters[option].default is default


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "." not in name])
def test_every_option_is_explained(name: str) -> None:
    explained = inspect.getdoc(FUNCTIONS[name]) or ""
    for option in inspect.signature(FUNCTIONS[name]).parameters:
        assert option in explained, option


def check_refused(
    call: str, arguments: tuple[Any, ...], options: dict[str, Any], error: Any, says: str
) -> None:
    """Check that a call fails, and says why."""
    raised: Exception | None = None
    try:
        CALLS[call](*arguments, **options)
    except Exception as exception:  # noqa: BLE001 - any other is what this looks for
        raised = exception
    assert isinstance(raised, error), (call, raised)
    assert re.search(says, str(raised)), (call, raised)


Kinds = type[Exception] | tuple[type[Exception], ...]

REFUSED_OPTIONS: dict[str, tuple[dict[str, Any], Kinds, str]] = {
    "reset in hours": ({"reset": "1h"}, ValueError, "reset must be .*'1mo'.*1h"),
    "reset of nothing": ({"reset": "0d"}, ValueError, "reset must be"),
    "reset backwards": ({"reset": "-1d"}, ValueError, "reset must be"),
    "reset, no duration": (
        {"reset": "daily"},
        ValueError,
        "daily.* is not a duration|reset must be .*daily",
    ),
    "reset, a flag": ({"reset": True}, (TypeError, ValueError), "reset must be .*'1d'.*True"),
    "reset, a timedelta": (
        {"reset": timedelta(days=1)},
        (TypeError, ValueError),
        "reset must be .*'1d'.*timedelta",
    ),
    "reset_offset, no duration": (
        {"reset": "1d", "reset_offset": "x"},
        ValueError,
        '"x" is not a duration|reset_offset does not',
    ),
    "reset_offset in months of days": (
        {"reset": "1d", "reset_offset": "1mo"},
        ValueError,
        "reset_offset",
    ),
    "reset_offset, a number": (
        {"reset": "1d", "reset_offset": 17},
        (TypeError, ValueError),
        "reset_offset",
    ),
    "max_gap in months": ({"max_gap": "1mo"}, ValueError, "max_gap must be .*1mo"),
    "max_gap of nothing": ({"max_gap": "0s"}, ValueError, "max_gap must be"),
    "max_gap of no time": ({"max_gap": timedelta(0)}, ValueError, "max_gap must be"),
    "max_gap backwards": ({"max_gap": timedelta(hours=-1)}, ValueError, "max_gap must be"),
    "max_gap, no duration": ({"max_gap": "long"}, ValueError, '"long" is not a duration'),
    "max_gap, a number": ({"max_gap": 3600}, TypeError, "max_gap must be .*'2h'.*3600"),
    "time_unit of seconds": ({"time_unit": "s"}, ValueError, 'time_unit must be .*"s"'),
    "time_unit, a dtype": ({"time_unit": pl.Datetime("ms")}, TypeError, "time_unit must be .*'ms'"),
    "on_overlap, unknown": ({"on_overlap": "replace"}, ValueError, "on_overlap must be .*replace"),
    "on_overlap, nothing": ({"on_overlap": None}, TypeError, "on_overlap must not be None"),
    "on_overlap, a flag": ({"on_overlap": True}, TypeError, "on_overlap must be .*True"),
    "the gate, a text": ({"same_timestamp_close": "no"}, TypeError, "same_timestamp_close .*'no'"),
    "the gate, a number": ({"same_timestamp_close": 1}, TypeError, "same_timestamp_close .*1"),
    "the gate, nothing": ({"same_timestamp_close": None}, TypeError, "same_timestamp_close"),
    "decimals, too many": ({"decimals": 13}, ValueError, "decimals.*13"),
    "decimals, negative": ({"decimals": {"price": -1}}, ValueError, "decimals.*-1"),
    "decimals, a flag": ({"decimals": True}, TypeError, "decimals must be .*True"),
    "decimals, a float": ({"decimals": 2.0}, TypeError, "decimals must be .*2.0"),
    "decimals, nothing": ({"decimals": None}, TypeError, "decimals must"),
    "decimals of something else": ({"decimals": {"prize": 2}}, TypeError, "'price' and 'quantity'"),
    "incomplete, unknown": ({"incomplete": "maybe"}, ValueError, "incomplete must be .*maybe"),
    "incomplete, a flag": ({"incomplete": True}, TypeError, "incomplete must be .*True"),
    "incomplete, nothing": ({"incomplete": None}, TypeError, "incomplete must not be None"),
    "misspelt": ({"max_gaps": "2h"}, TypeError, "max_gaps'; did you mean 'max_gap'"),
    "half a name": ({"offset": "2h"}, TypeError, "offset'; did you mean 'reset_offset'"),
    "unheard of": ({"brick_size": 3}, TypeError, "'brick_size'"),
}


@pytest.mark.parametrize("kind", REFUSED_OPTIONS)
def test_options_that_make_no_sense_fail_at_the_call(kind: str, tmp_path: Path) -> None:
    options, error, says = REFUSED_OPTIONS[kind]
    for call in CALLS:
        if call in ID_CALLS and "incomplete" in options:
            unexpected = "unexpected keyword argument 'incomplete'"
            check_refused(call, (tmp_path, 250), options, TypeError, unexpected)
        else:
            check_refused(call, (tmp_path, 250), options, error, says)
    assert not list(tmp_path.iterdir()), "nothing is written, not even a directory made"


def test_an_offset_needs_a_reset(tmp_path: Path) -> None:
    for call in CALLS:
        # This one has a reset unless told otherwise, and takes no offset.
        reset = {"reset": "1d"} if call == "get_n_range_bars" else {}
        options = {"reset_offset": "17h", **reset}
        check_refused(call, (tmp_path, 250), options, ValueError, "reset_offset")


REFUSED_COLUMNS: dict[str, tuple[dict[str, Any], Kinds, str]] = {
    "by an expression": ({"by": pl.col("symbol")}, TypeError, "by takes column names"),
    "by expressions": ({"by": [pl.col("symbol")]}, TypeError, "by takes column names"),
    "by a number": ({"by": 1}, TypeError, "by takes column names"),
    "by a flag": ({"by": True}, TypeError, "by takes column names"),
    "by nothing": ({"by": []}, ValueError, "by must name at least one column, or be None"),
    "by one twice": ({"by": ["symbol", "symbol"]}, ValueError, "'symbol' would stand twice"),
    "by a column of bars": ({"by": "volume"}, ValueError, "'volume' would stand twice"),
    "by another one": ({"by": ["venue", "bar_id"]}, ValueError, "'bar_id' would stand twice"),
    "columns, a name": ({"columns": "price"}, TypeError, "TradeColumns or a mapping"),
    "columns, a list": ({"columns": ["price"]}, TypeError, "TradeColumns or a mapping"),
    "columns, misspelt": ({"columns": {"prize": "px"}}, TypeError, "no part 'prize'.*price"),
    "columns, no price": ({"columns": {"price": None}}, TypeError, "price must be a column name"),
    "columns, a number": ({"columns": {"price": 1}}, TypeError, "price must be a column name.*1"),
    "columns, an expression": (
        {"columns": {"price": pl.col("px")}},
        TypeError,
        "price must be a column name",
    ),
    "columns, one for two": (
        {"columns": {"price": "p", "quantity": "p"}},
        ValueError,
        "'p' cannot play two parts",
    ),
    "columns, a side": ({"columns": {"side": "side"}}, TypeError, "rb.normalize"),
    "a column as an option": ({"price": "px"}, TypeError, "columns={'price': '...'}"),
    "an optional column as an option": (
        {"is_buyer_maker": "maker"},
        TypeError,
        "columns={'is_buyer_maker': '...'}",
    ),
}


@pytest.mark.parametrize("kind", REFUSED_COLUMNS)
def test_columns_that_make_no_sense_fail_at_the_call(kind: str, tmp_path: Path) -> None:
    options, error, says = REFUSED_COLUMNS[kind]
    for call in ON_FRAMES:
        check_refused(call, (tmp_path, 250), options, error, says)
    assert not list(tmp_path.iterdir())


REFUSED_RULES: dict[str, tuple[Any, type[Exception], str]] = {
    "none": (None, TypeError, "rule cannot be None"),
    "a flag": (True, TypeError, "rule cannot be True"),
    "a share": (0.0025, TypeError, "rule cannot be 0.0025.*'0.25%'"),
    "a percentage without a sign": (0.25, TypeError, "rule cannot be 0.25.*'0.25%'"),
    "a Decimal": (Decimal(250), TypeError, r"rule cannot be Decimal\('250'\)"),
    "a float of numpy": (np.float64(250), TypeError, "rule cannot be .*250"),
    "a mapping": ({250: 1}, TypeError, "rule cannot be {250: 1}"),
    "bytes": (b"medium", TypeError, "rule cannot be b'medium'"),
    "an expression": (pl.col("threshold"), TypeError, "rule cannot be"),
    "zero": (0, ValueError, "between 1 and 100000 .*0"),
    "negative": (-250, ValueError, "between 1 and 100000 .*-250"),
    "too large": (100_001, ValueError, "between 1 and 100000 .*100001"),
    "far too large": (2**80, ValueError, r"between 1 and 100000 .*1\.2089"),
    "a text without a unit": ("0.25", ValueError, "'0.25' is not a rule.*'0.25%'"),
    "a text of digits": ("250", ValueError, "'250' is not a rule"),
    "finer than the unit": ("0.0001%", ValueError, "'0.0001%' is finer than 0.001%"),
    "a negative text": ("-0.25%", ValueError, "'-0.25%' is not a rule"),
    "an unknown preset": ("gigantic", ValueError, "'gigantic' is not a rule.*'medium'"),
    "no text": ("", ValueError, "'' is not a rule"),
}

REFUSED_LISTS: dict[str, tuple[Any, type[Exception], str]] = {
    "nothing": ([], ValueError, "no rule given"),
    "no numbers": (np.array([], dtype=np.int64), ValueError, "no rule given"),
    "one twice": ([100, 250, 100], ValueError, "range 100 is named more than once"),
    "one in two forms": (["0.25%", Range(250)], ValueError, "range 250 is named more than once"),
    "a bad one": ([100, 0], ValueError, "between 1 and 100000 .*0"),
    "a float": ([100, 2.5], TypeError, "rule cannot be 2.5"),
    "floats of numpy": (np.array([100.0]), TypeError, "rule cannot be"),
    "a list in a list": ([100, [250]], TypeError, "rule cannot be"),
}


@pytest.mark.parametrize("kind", REFUSED_RULES)
def test_what_is_not_a_rule_fails_at_the_call(kind: str, tmp_path: Path) -> None:
    rule, error, says = REFUSED_RULES[kind]
    for call in CALLS:
        check_refused(call, (tmp_path, rule), {}, error, says)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", REFUSED_LISTS)
def test_lists_of_rules_that_make_no_sense_fail_at_the_call(kind: str, tmp_path: Path) -> None:
    rules, error, says = REFUSED_LISTS[kind]
    for call in CALLS:
        one = "" if call in MANY_RULES else "|takes one rule"
        check_refused(call, (tmp_path, rules), {}, error, says + one)
    assert not list(tmp_path.iterdir())


def test_two_rules_where_there_is_room_for_one(tmp_path: Path) -> None:
    for call in (name for name in CALLS if name not in MANY_RULES):
        check_refused(call, (tmp_path, [100, 250]), {}, ValueError, "takes one rule, got 2")


ONE_RULE: dict[str, Any] = {
    "a percentage": "0.25%",
    "spaces and zeros": " 0.250 % ",
    "basis points": "25bp",
    "basis points, plural": "25 bps",
    "a preset": "medium",
    "the value": Range(250),
    "the value of a text": Range("25bp"),
    "a signed integer of numpy": np.int16(250),
    "an unsigned integer of numpy": np.uint8(250),
    "a list": [250],
    "a tuple": ("0.25%",),
    "an array": np.array([250]),
    "a column": pl.Series([250], dtype=pl.UInt32),
    "a column of texts": pl.Series(["medium"]),
}

SEVERAL_RULES: dict[str, Any] = {
    "texts": ["0.1%", "25bp", "1%"],
    "mixed": ("standard", Range(250), 1000),
    "an array": np.array([100, 250, 1000], dtype=np.uint32),
    "an array of texts": np.array(["0.1%", "0.25%", "1%"]),
    "a column": pl.Series([100, 250, 1000]),
    "a generator": None,
}


@pytest.mark.parametrize("door", [*BAR_DOORS, *(f"ids, {name}" for name in ID_DOORS)])
def test_a_rule_may_be_written_in_many_ways(door: str) -> None:
    trades = walk(400)
    ids = door.removeprefix("ids, ")
    run: Callable[..., pl.DataFrame] = ID_DOORS[ids] if ids != door else BAR_DOORS[door]
    expected = run(trades, 250)
    for rule in ONE_RULE.values():
        assert_same_bits(run(trades, rule), expected)
    if ids != door:
        return
    expected = run(trades, [100, 250, 1000])
    for kind, rules in SEVERAL_RULES.items():
        one_by_one = iter([100, "25bp", "macro"])
        assert_same_bits(run(trades, one_by_one if kind == "a generator" else rules), expected)


def test_the_order_of_rules_is_the_order_asked_for() -> None:
    trades = pl.DataFrame({"timestamp": [1, 2], "price": [1.0, 2.0], "quantity": [1.0, 1.0]})
    for rules in ([250, 100, 1000], [1000, 250, 100]):
        for door in BAR_DOORS.values():
            assert door(trades, rules)["threshold_decimal_bps"].to_list() == rules


def test_a_frame_given_to_an_expression_is_told_where_to_go() -> None:
    bars: Any = rb.bars
    bar_id: Any = rb.bar_id
    for trades in (TRADES, TRADES.lazy(), TRADES.to_arrow()):
        for arguments, keywords in (((trades, 250), {}), ((trades,), {"rule": 250})):
            with pytest.raises(TypeError, match=r"rb\.range_bars\(trades, 250\)"):
                bars(*arguments, **keywords)
            with pytest.raises(TypeError, match=r"rb\.with_bar_id\(trades, 250\)"):
                bar_id(*arguments, **keywords)
    for rule in (250, "0.25%"):
        with pytest.raises(TypeError, match="rule"):
            bars(rule)
    with pytest.raises(TypeError, match="rules go to rule="):
        bars(250)
