"""What the user asked for, checked and in one form, before anything runs."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final, Literal, SupportsIndex, TypeAlias, cast

from polars import DataType
from polars.exceptions import ColumnNotFoundError

from rangebar_polars import _internal

__all__ = [
    "AUTO",
    "THRESHOLD_PRESETS",
    "Auto",
    "Incomplete",
    "Optional_",
    "Settings",
    "Span",
    "Threshold",
    "TimeUnit",
    "TradeColumns",
    "keys_of",
    "thresholds_of",
]

THRESHOLD_PRESETS: Final[Mapping[str, int]] = {
    "micro": 10,
    "tight": 50,
    "standard": 100,
    "medium": 250,
    "wide": 500,
    "macro": 1000,
}
"""Thresholds by name, in decimal basis points (1 is 0.001%)."""

Threshold: TypeAlias = "int | str"
Incomplete: TypeAlias = Literal["drop", "keep"]
Span: TypeAlias = "str | timedelta"
TimeUnit: TypeAlias = Literal["ns", "us", "ms"]


class Auto(Enum):
    """The default of an optional column: used where the input has one of that name."""

    AUTO = "auto"

    def __repr__(self) -> str:
        return "AUTO"


AUTO: Final = Auto.AUTO
Optional_: TypeAlias = "str | Auto | None"

OPTIONAL_ROLES: Final = ("is_buyer_maker", "agg_trade_id", "first_trade_id", "last_trade_id")


def _one_threshold(value: object) -> int:
    if isinstance(value, str):
        if value not in THRESHOLD_PRESETS:
            names = ", ".join(f"{name!r}" for name in THRESHOLD_PRESETS)
            msg = f"unknown threshold preset {value!r}; the presets are {names}"
            raise ValueError(msg)
        return THRESHOLD_PRESETS[value]
    # numpy's integers are no `int`, and a bool is one: ask for what an index is.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        msg = (
            "threshold_decimal_bps must be a whole number of decimal basis points "
            f"(250 is 0.25%), a preset name or a list of these, got {value!r}"
        )
        raise TypeError(msg)
    number = operator.index(cast("SupportsIndex", value))
    if not 1 <= number <= 100_000:
        msg = f"threshold_decimal_bps must be between 1 and 100000 (250 is 0.25%), got {number}"
        raise ValueError(msg)
    return number


def thresholds_of(value: Threshold | Sequence[Threshold]) -> list[int]:
    """All thresholds asked for, in decimal basis points."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [_one_threshold(value)]
    thresholds = [_one_threshold(one) for one in value]
    if not thresholds:
        msg = "threshold_decimal_bps must not be an empty list"
        raise ValueError(msg)
    repeated = {t for t in thresholds if thresholds.count(t) > 1}
    if repeated:
        msg = f"threshold_decimal_bps names {min(repeated)} more than once"
        raise ValueError(msg)
    return thresholds


def span_of(value: Span | None) -> str | None:
    """A span of time as Polars writes it."""
    if isinstance(value, timedelta):
        microseconds = value // timedelta(microseconds=1)
        return f"{'-' if microseconds < 0 else ''}{abs(microseconds)}us"
    return value


def keys_of(by: str | Sequence[str] | None) -> list[str] | None:
    """The key columns."""
    if by is None:
        return None
    keys = [by] if isinstance(by, str) else list(by)
    for key in keys:
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"by must be column names, got {key!r}"
            raise TypeError(msg)
    if not keys:
        msg = "by must name at least one column, or be None"
        raise ValueError(msg)
    taken = [key for key in keys if key in _internal.bar_columns() or keys.count(key) > 1]
    if taken:
        msg = f"by column {taken[0]!r} would stand twice in the bars; rename it first"
        raise ValueError(msg)
    return keys


@dataclass(frozen=True)
class Settings:
    """How bars are made, apart from the columns they are made of."""

    thresholds: tuple[int, ...]
    same_timestamp_close: bool = False
    incomplete: Incomplete = "drop"
    reset: str | None = None
    offset: Span | None = None
    max_gap: Span | None = None
    time_unit: TimeUnit | None = None

    def __post_init__(self) -> None:
        if self.offset is not None and self.reset is None:
            msg = "offset moves the boundaries of reset; give reset too, or leave it out"
            raise ValueError(msg)
        if self.time_unit not in (None, "ns", "us", "ms"):
            msg = f"time_unit must be 'ns', 'us' or 'ms', got {self.time_unit!r}"
            raise ValueError(msg)
        if self.incomplete not in ("drop", "keep"):
            msg = f"incomplete must be 'drop' or 'keep', got {self.incomplete!r}"
            raise ValueError(msg)

    def options(self, roles: Sequence[str]) -> dict[str, Any]:
        """The keyword arguments of the compiled part, for inputs that play `roles`."""
        return {
            "thresholds": list(self.thresholds),
            "same_timestamp_close": bool(self.same_timestamp_close),
            "keep_incomplete": self.incomplete == "keep",
            "roles": list(roles),
            "reset": self.reset,
            "offset": span_of(self.offset),
            "max_gap": span_of(self.max_gap),
            "time_unit": self.time_unit,
        }


@dataclass(frozen=True)
class TradeColumns:
    """Names of the trades' columns by the part they play."""

    timestamp: str | None = "timestamp"
    price: str = "price"
    quantity: str | None = "quantity"
    is_buyer_maker: Optional_ = AUTO
    agg_trade_id: Optional_ = AUTO
    first_trade_id: Optional_ = AUTO
    last_trade_id: Optional_ = AUTO

    def __post_init__(self) -> None:
        for role, name in vars(self).items():
            wanted = "a column name"
            if role != "price":
                wanted += " or None"
            if not isinstance(name, (str, Auto)) and (name is not None or role == "price"):
                msg = f"{role} must be {wanted}, got {name!r}"
                raise TypeError(msg)
        names = [name for name in vars(self).values() if isinstance(name, str)]
        for name in names:
            if names.count(name) > 1:
                msg = f"column {name!r} cannot play two parts at once"
                raise ValueError(msg)

    def present(self, schema: Mapping[str, DataType], by: Sequence[str] | None) -> dict[str, str]:
        """
        Names of the columns that are there, by part.

        Raises
        ------
        polars.exceptions.ColumnNotFoundError
            If a column that must be there is not.
        """
        found: dict[str, str] = {}
        missing: list[str] = []
        for role, name in vars(self).items():
            if name is None:
                continue
            if isinstance(name, Auto):
                if role in schema:
                    found[role] = role
            elif name in schema:
                found[role] = name
            else:
                off = "" if role == "price" else f", or {role}=None to do without"
                missing.append(
                    f"column '{name}' not found: name the {role} column with {role}='...'{off}"
                )
        missing += [
            f"column '{key}' not found, which by= names" for key in by or () if key not in schema
        ]
        if missing:
            have = ", ".join(f"'{name}'" for name in schema)
            msg = f"{'; '.join(missing)} (the columns are {have})"
            raise ColumnNotFoundError(msg)
        return found
