"""What can go wrong between the exchange and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rangebar_polars.exceptions import RangeBarError

if TYPE_CHECKING:
    from datetime import date

__all__ = ["ArchiveError", "BrokenLineError", "FetchError", "MissingDaysError"]

_SHOWN_DAYS = 5
_SHOWN_TEXT = 120


class ArchiveError(RangeBarError):
    """A file that is not what it should be; nothing of it was stored.

    Attributes
    ----------
    file : str
        Its name.
    """

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(f"{file}: {problem}")
        self.file = file
        self.problem = problem

    def __reduce__(self) -> tuple[type[ArchiveError], tuple[str, str]]:
        return (type(self), (self.file, self.problem))


class BrokenLineError(ArchiveError):
    """A line of a CSV that is no trade.

    Attributes
    ----------
    file : str
        Name of the file.
    line : int
        Number of the line, from 1, the header included where there is one.
    text : str
        The line.
    """

    def __init__(self, file: str, line: int, text: str, reason: str) -> None:
        shown = text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}..."
        super().__init__(file, f"line {line}: {reason}: {shown!r}")
        self.line = line
        self.text = text
        self.reason = reason

    def __reduce__(self) -> tuple[type[BrokenLineError], tuple[str, int, str, str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (type(self), (self.file, self.line, self.text, self.reason))


class FetchError(RangeBarError):
    """The server did not give what was asked, after every retry.

    Attributes
    ----------
    url : str
        What was asked for.
    """

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"{url}: {problem}")
        self.url = url
        self.problem = problem

    def __reduce__(self) -> tuple[type[FetchError], tuple[str, str]]:
        return (type(self), (self.url, self.problem))


class MissingDaysError(RangeBarError):
    """Days that were asked for and that the archive does not have.

    Attributes
    ----------
    days : list[date]
        All of them, in order.
    """

    def __init__(self, feed: str, days: list[date]) -> None:
        shown = ", ".join(day.isoformat() for day in days[:_SHOWN_DAYS])
        more = f" and {len(days) - _SHOWN_DAYS} more" if len(days) > _SHOWN_DAYS else ""
        super().__init__(
            f"{feed}: no trades for {shown}{more}; missing='skip' leaves such days out"
        )
        self.feed = feed
        self.days = days

    def __reduce__(self) -> tuple[type[MissingDaysError], tuple[str, list[date]]]:
        return (type(self), (self.feed, self.days))
