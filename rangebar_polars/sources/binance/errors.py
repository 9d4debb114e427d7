"""What can go wrong between the exchange and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rangebar_polars.exceptions import RangeBarError

if TYPE_CHECKING:
    from datetime import date

__all__ = [
    "ArchiveError",
    "BrokenLineError",
    "FetchError",
    "MissingDaysError",
    "UncheckedFilesWarning",
]

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
    """A line of a CSV that is not a trade, or not one that can be stored.

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

    def __init__(self, feed: str, days: list[date], *, recent: bool = False) -> None:
        shown = ", ".join(day.isoformat() for day in days[:_SHOWN_DAYS])
        more = f" and {len(days) - _SHOWN_DAYS} more" if len(days) > _SHOWN_DAYS else ""
        advice = "missing='skip' leaves such days out"
        if recent:
            advice += ", recent=True takes days that are not published yet from the REST service"
        super().__init__(f"{feed}: no trades for {shown}{more}; {advice}")
        self.feed = feed
        self.days = days
        self.recent = recent

    def __reduce__(self) -> tuple[Any, ...]:
        return (_missing_days, (self.feed, self.days, self.recent))


def _missing_days(feed: str, days: list[date], recent: bool) -> MissingDaysError:
    return MissingDaysError(feed, days, recent=recent)


class UncheckedFilesWarning(UserWarning):
    """
    Stored trades were used though nobody could tell whether their files were replaced meanwhile.

    Attributes
    ----------
    files : list[str]
        Names of the files.
    """

    def __init__(self, feed: str, files: list[str], problem: str) -> None:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        super().__init__(
            f"{feed}: {files[0]}{more} used as stored, without a check whether it was replaced "
            f"({problem}); revalidate=False does not ask"
        )
        self.feed = feed
        self.files = files
        self.problem = problem

    def __reduce__(self) -> tuple[type[UncheckedFilesWarning], tuple[str, list[str], str]]:
        return (type(self), (self.feed, self.files, self.problem))
