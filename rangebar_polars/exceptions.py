"""What can go wrong, as types.

Everything this package raises on its own account is a :class:`RangeBarError`, and every
``RangeBarError`` is a :class:`polars.exceptions.ComputeError`, so that one ``except`` clause
catches the same mistake whether it came out of an expression, a lazy plan or a processor.
Mistakes in how a function was called (a threshold of zero, an unknown keyword) are plain
``ValueError`` and ``TypeError``, as everywhere in Polars.
"""

from __future__ import annotations

from polars.exceptions import ComputeError

__all__ = ["CheckpointError", "InvalidTradeError", "RangeBarError"]


class RangeBarError(ComputeError):
    """Base class of the errors this package raises about data and files."""


class CheckpointError(RangeBarError):
    """A checkpoint that cannot be read, was changed, or is of other settings."""


class InvalidTradeError(RangeBarError):
    """A trade that cannot be put on the grid, or that breaks the order of time.

    Attributes
    ----------
    column : str
        Name of the offending column in the input.
    row : int
        Row of the offending value, counted from 0 at the start of the stream.
    value : str
        The offending value, as text.
    """

    def __init__(self, message: str, column: str = "", row: int = -1, value: str = "") -> None:
        super().__init__(message)
        self.column = column
        self.row = row
        self.value = value

    def __reduce__(self) -> tuple[type[InvalidTradeError], tuple[str, str, int, str]]:
        return (type(self), (str(self), self.column, self.row, self.value))
