"""Options that several sub-commands share, and how they reach `range_bars`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from rangebar_polars.cli.files import TABLE_ROWS

__all__ = ["BarRules", "Output", "thresholds_from"]


@Parameter(name="*")
@dataclass
class BarRules:
    """What makes a bar.

    Attributes
    ----------
    threshold
        Distance from the opening price at which a bar closes, in units of 0.001% (250 is
        0.25%), or a preset: micro 10, tight 50, standard 100, medium 250, wide 500, macro 1000.
        Give it several times for several sets of bars in one pass.
    incomplete
        Whether to keep bars that nothing closed, with is_complete false.
    same_timestamp_close
        Let a bar close at the very timestamp it opened at.
    reset
        Begin anew at each period: 1d, 1w, 1mo, 1q, 1y or a multiple.
    max_gap
        Begin anew after a silence longer than this, such as 2h.
    """

    threshold: Annotated[list[str], Parameter(name=["--threshold", "-t"])] = field(
        default_factory=lambda: ["250"]
    )
    incomplete: Literal["drop", "keep"] = "drop"
    same_timestamp_close: Annotated[bool, Parameter(negative="")] = False
    reset: str | None = None
    max_gap: str | None = None

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of `range_bars` that were given."""
        given: dict[str, Any] = {
            "incomplete": self.incomplete,
            "same_timestamp_close": self.same_timestamp_close,
        }
        if self.reset is not None:
            given["reset"] = self.reset
        if self.max_gap is not None:
            given["max_gap"] = self.max_gap
        return given


@Parameter(name="*")
@dataclass
class Output:
    """Where bars go.

    Attributes
    ----------
    out
        File to write: .parquet, .csv, .arrow, .feather or .ipc. Without it a table is printed.
    rows
        Rows of the table: the first and the last ones.
    """

    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None
    rows: int = TABLE_ROWS


def thresholds_from(texts: list[str]) -> list[int | str] | int | str:
    """Return numbers and preset names; one alone is no list, and makes no column."""
    values: list[int | str] = [int(text) if text.isdigit() else text for text in texts]
    return values[0] if len(values) == 1 else values
