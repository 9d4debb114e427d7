"""
How bars are made, apart from the columns they are made of: said once for every door.

An option is a field of `BarOptions`, a key of `BarKeywords` (for type checkers and `help`), and a
field of `RawOptions` in `src/python/options.rs`, where its value is checked.
"""

from __future__ import annotations

import inspect
import json
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from difflib import get_close_matches
from functools import wraps
from typing import (
    Any,
    Final,
    Literal,
    ParamSpec,
    TypeAlias,
    TypedDict,
    TypeVar,
    cast,
    get_type_hints,
)

from rangebar_polars import _internal
from rangebar_polars.columns import AUTO, By, IntoTradeColumns, TradeColumns
from rangebar_polars.rules import IntoRule, Rule, rule_from_dict, rules_of

__all__ = [
    "BarIdKeywords",
    "BarKeywords",
    "BarOptions",
    "Decimals",
    "Duration",
    "Incomplete",
    "Overlap",
    "TimeUnit",
    "TradeIdKeywords",
    "TradeKeywords",
    "shows_keywords",
]

Incomplete: TypeAlias = Literal["drop", "keep"]
Overlap: TypeAlias = Literal["error", "skip"]
Duration: TypeAlias = str | timedelta
"""A duration as Polars writes it (`"17h"`, `"-1d"`), or a timedelta."""
TimeUnit: TypeAlias = Literal["ns", "us", "ms"]
Decimals: TypeAlias = int | Mapping[str, int]
"""Decimal places of prices and quantities, or of each: `{"price": 2, "quantity": 8}`."""


_DECIMALS: Final = 8
_GRIDS: Final = ("price", "quantity")


class BarIdKeywords(TypedDict, total=False):
    """Options of every door."""

    reset: str | None
    reset_offset: Duration | None
    max_gap: Duration | None
    time_unit: TimeUnit | None
    same_timestamp_close: bool
    on_overlap: Overlap
    decimals: Decimals


class BarKeywords(BarIdKeywords, total=False):
    """Options of every door that makes bars."""

    incomplete: Incomplete


class TradeIdKeywords(BarIdKeywords, total=False):
    """Options of a door that takes whole trades and numbers their bars."""

    by: By
    columns: IntoTradeColumns | None


class TradeKeywords(BarKeywords, total=False):
    """Options of a door that takes whole trades and makes bars of them."""

    by: By
    columns: IntoTradeColumns | None


@dataclass(frozen=True)
class BarOptions:
    """What makes bars. Checked when made, as far as that needs no look at the trades."""

    rules: tuple[Rule, ...]
    reset: str | None = None
    reset_offset: str | None = None
    max_gap: str | None = None
    time_unit: TimeUnit | None = None
    incomplete: Incomplete = "drop"
    same_timestamp_close: bool = False
    on_overlap: Overlap = "error"
    decimals: Decimals = _DECIMALS

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "decimals":
                object.__setattr__(self, field.name, _decimals(value))
            elif field.name == "same_timestamp_close":
                if type(value) is not bool and type(value).__name__ not in ("bool_", "bool"):
                    msg = f"same_timestamp_close must be True or False, got {value!r}"
                    raise TypeError(msg)
                object.__setattr__(self, field.name, bool(value))
            elif field.name != "rules" and not isinstance(value, (str, type(None))):
                msg = f"{field.name} must be a text{_example(field.name)}, got {value!r}"
                raise TypeError(msg)
            elif value is None and field.default is not None and field.name != "rules":
                msg = f"{field.name} must not be None; leave it out for {field.default!r}"
                raise TypeError(msg)
        _internal.check_options(self.to_json())

    @classmethod
    def of(
        cls, rule: IntoRule | Iterable[IntoRule], keywords: Mapping[str, Any], *, one: str = ""
    ) -> BarOptions:
        """
        Options from what a door was given; `one` names a door that takes one rule only.

        Raises
        ------
        ValueError, TypeError
            For what makes no sense.
        """
        rules = rules_of(rule)
        if one and len(rules) > 1:
            msg = f"{one} takes one rule, got {len(rules)}"
            raise ValueError(msg)
        given = dict(keywords)
        for name in ("reset_offset", "max_gap"):
            given[name] = _duration(given.get(name))
        return cls(rules, **given)

    def check_times(self, timestamp: str | None) -> None:
        """
        Refuse options that need times where the trades are said to have none.

        Raises
        ------
        ValueError
            At the call, also of a door that has not seen the trades yet.
        """
        for name in ("reset", "max_gap", "time_unit"):
            if timestamp is None and getattr(self, name) is not None:
                msg = f"{name} needs a timestamp column"
                raise ValueError(msg)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for the compiled part and for checkpoints."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        decimals = self.decimals
        each = dict(decimals) if isinstance(decimals, Mapping) else dict.fromkeys(_GRIDS, decimals)
        return {**plain, "rules": [rule.to_dict() for rule in self.rules], "decimals": each}

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> BarOptions:
        """What `to_dict` gave."""
        more = dict(plain)
        rules = tuple(rule_from_dict(rule) for rule in more.pop("rules"))
        return cls(rules, **more)

    @property
    def detail(self) -> str:
        """The rules, in a few words."""
        return ", ".join(rule.label for rule in self.rules)


def _example(name: str) -> str:
    examples = {"reset": "'1d'", "reset_offset": "'17h'", "max_gap": "'2h'", "time_unit": "'ms'"}
    return f" such as {examples[name]}, or None" if name in examples else ""


def _decimals(value: object) -> Decimals:
    """Decimal places, as one number where they are the same for prices and quantities."""
    each: dict[Any, Any] = dict.fromkeys(_GRIDS, value)
    if isinstance(value, Mapping):
        each = {**dict.fromkeys(_GRIDS, _DECIMALS), **cast("Mapping[Any, Any]", value)}
    for name, places in each.items():
        if name not in _GRIDS or isinstance(places, bool) or not hasattr(places, "__index__"):
            msg = (
                "decimals must be a whole number, or one for each of 'price' and 'quantity' such "
                f"as {{'price': 2, 'quantity': 8}}, got {value!r}"
            )
            raise TypeError(msg)
    plain = {name: operator.index(places) for name, places in each.items()}
    price, quantity = (plain[name] for name in _GRIDS)
    return price if price == quantity else plain


def _duration(value: object) -> Any:
    """A duration as Polars writes it; anything else as it is, to be refused."""
    if isinstance(value, timedelta):
        microseconds = value // timedelta(microseconds=1)
        return f"{'-' if microseconds < 0 else ''}{abs(microseconds)}us"
    return value


P = ParamSpec("P")
R = TypeVar("R")

_DEFAULTS: dict[str, Any] = {
    "by": AUTO,
    "columns": None,
    **{field.name: field.default for field in fields(BarOptions)},
}


def shows_keywords(keywords: type, **defaults: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Show the shared keywords in a function's signature, and refuse others with a hint.

    The function takes them as `**keywords`, typed as this TypedDict, so that they are written down
    once; editors and `help` see them as if they stood in the signature. `defaults` are those of
    keywords that other doors do not have.
    """
    hints = get_type_hints(keywords)
    order = [*_DEFAULTS, *defaults]

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(function)
        parameters = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = {p.name for p in parameters}
        shared = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default={**_DEFAULTS, **defaults}[name],
                annotation=hint,
            )
            for name, hint in sorted(hints.items(), key=lambda hint: order.index(hint[0]))
        ]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in hints and name not in names:
                    raise TypeError(_unexpected(function.__name__, name, [*names, *hints]))
            return function(*args, **kwargs)

        cast("Any", checked).__signature__ = own.replace(parameters=[*parameters, *shared])
        return checked

    return decorate


def _unexpected(function: str, name: str, known: list[str]) -> str:
    msg = f"{function}() got an unexpected keyword argument '{name}'"
    parts = [field.name for field in fields(TradeColumns)]
    if name in parts and "columns" in known:
        return f"{msg}: name columns with columns={{'{name}': '...'}}"
    close = get_close_matches(name, known, 1)
    return f"{msg}; did you mean '{close[0]}'?" if close else msg
