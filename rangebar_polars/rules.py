"""
What closes a bar, as values: `rb.rules.Range(250)`.

Wherever a function takes a `rule`, it takes one of these, a short form of one, or a list of several
that are computed in one pass. The short forms of a range are a whole number of decimal basis points
(250), a text with its unit (`"0.25%"`, `"25bp"`) and the name of a preset (`"medium"`).
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, SupportsIndex, TypeAlias, cast

from rangebar_polars import _internal

__all__ = ["PRESETS", "IntoRule", "Range", "Rule"]

PRESETS: Final[Mapping[str, int]] = {
    "micro": 10,
    "tight": 50,
    "standard": 100,
    "medium": 250,
    "wide": 500,
    "macro": 1000,
}
"""Range thresholds by name, in decimal basis points (1 is 0.001%)."""

_WITH_UNIT: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%|bps?)\s*")
_DECIMAL_BPS: Final = {"%": 1000, "bp": 10, "bps": 10}

_HOW: Final = (
    "write a range as decimal basis points (250 is 0.25%), as a text with its unit ('0.25%', "
    "'25bp'), or as one of the presets " + ", ".join(f"{name!r}" for name in PRESETS)
)


@dataclass(frozen=True, repr=False)
class Range:
    """
    Range bars: closes with the first trade at least `threshold` away from the opening price.

    Parameters
    ----------
    threshold
        Distance as a share of the opening price. An integer is in decimal basis points, units of
        0.001%, from 1 to 100 000: 250 is 0.25%. A text says its unit, `"0.25%"` or `"25bp"` (a
        basis point is 0.01%), or names a preset: `'micro'` 10, `'tight'` 50, `'standard'` 100,
        `'medium'` 250, `'wide'` 500, `'macro'` 1000. Kept as an integer in decimal basis points.

    Raises
    ------
    ValueError
        For a threshold out of range, or finer than 0.001%.
    TypeError
        For anything else, such as a float, which would have no unit.

    Examples
    --------
    >>> from rangebar_polars.rules import Range
    >>> Range("0.25%")
    Range(250)
    >>> Range("25bp") == Range("medium") == Range(250)
    True
    >>> Range(250).label
    'range 250'
    """

    threshold: int | str

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", _decimal_bps(self.threshold))
        _internal.check_rule(json.dumps(self.to_dict()))

    def __repr__(self) -> str:
        return f"Range({self.threshold})"

    @property
    def label(self) -> str:
        """What the rule is called in results."""
        return f"range {self.threshold}"

    def to_dict(self) -> dict[str, Any]:
        """What the compiled part and checkpoints know the rule by."""
        return {"range": self.threshold}


Rule: TypeAlias = Range
"""Every rule there is."""

IntoRule: TypeAlias = Rule | int | str
"""A rule, or a short form of one."""


def _decimal_bps(value: object) -> int:
    if isinstance(value, str):
        if value in PRESETS:
            return PRESETS[value]
        match = _WITH_UNIT.fullmatch(value)
        if match is None:
            msg = f"{value!r} is not a rule; {_HOW}"
            raise ValueError(msg)
        exact = Decimal(match[1]) * _DECIMAL_BPS[match[2]]
        if exact != int(exact):
            msg = f"{value!r} is finer than 0.001%, the unit of thresholds"
            raise ValueError(msg)
        return int(exact)
    # numpy's integers are no `int`, and a bool is one: ask for what an index is.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        msg = f"rule cannot be {value!r}; {_HOW}"
        raise TypeError(msg)
    return operator.index(cast("SupportsIndex", value))


def rules_of(value: IntoRule | Iterable[IntoRule]) -> tuple[Rule, ...]:
    """All rules asked for; that there is one at least, and none twice, is checked further in."""
    given: Any = value
    several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    # An array of numpy may be a number.
    if several and getattr(cast("Any", given), "ndim", 1) > 0:
        return tuple(_rule(one) for one in cast("Iterable[IntoRule]", given))
    return (_rule(cast("IntoRule", given)),)


def _rule(value: IntoRule) -> Rule:
    return value if isinstance(value, Range) else Range(value)


def rule_from_dict(written: Mapping[str, Any]) -> Rule:
    """What `to_dict` gave."""
    ((name, amount),) = written.items()
    if name != "range":
        msg = f"unknown rule {name!r}"
        raise ValueError(msg)
    return Range(amount)
