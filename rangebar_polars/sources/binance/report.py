"""What a fetch did, and showing it while it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["FetchReport", "Progress", "TqdmProgress"]


@dataclass
class FetchReport:
    """Filled in while a scan of the archive runs; give one to it to read afterwards.

    Attributes
    ----------
    fetched : list[str]
        Names of the files that were downloaded, in order.
    reused : list[str]
        Names of those that were in the store already with the published hash.
    unchecked : list[str]
        Names of those among them that could not be checked; see `UncheckedFilesWarning`.
    recent_days : list[date]
        Days that came from the exchange's REST service.
    missing_days : list[date]
        Days that were asked for and that nobody has.
    bytes_downloaded : int
        Bytes that came over the line, repeated ones included.

    Examples
    --------
    >>> report = FetchReport()
    >>> report.missing_days
    []
    """

    fetched: list[str] = field(default_factory=list[str])
    reused: list[str] = field(default_factory=list[str])
    unchecked: list[str] = field(default_factory=list[str])
    recent_days: list[date] = field(default_factory=list[date])
    missing_days: list[date] = field(default_factory=list[date])
    bytes_downloaded: int = 0

    def clear(self) -> None:
        """Forget everything: a plan that is collected again reports anew."""
        self.fetched.clear()
        self.reused.clear()
        self.unchecked.clear()
        self.recent_days.clear()
        self.missing_days.clear()
        self.bytes_downloaded = 0


class Progress:
    """Shows nothing. `TqdmProgress` shows bars."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def expect_days(self, count: int) -> None:
        """So many days will come."""

    def add_days(self, count: int) -> None:
        """So many more days are in the store."""

    def expect_bytes(self, count: int) -> None:
        """So many more bytes will come."""

    def add_bytes(self, count: int) -> None:
        """So many more bytes are here."""


class TqdmProgress(Progress):
    """Two bars, of days and of bytes; in a notebook the kind that belongs there."""

    def __init__(self, label: str) -> None:
        try:
            from tqdm.auto import tqdm  # noqa: PLC0415 # pyright: ignore[reportMissingModuleSource]
        except ImportError as error:
            msg = "progress=True needs tqdm: pip install 'rangebar_polars[binance]'"
            raise ImportError(msg) from error
        bar: Any = tqdm
        self._days: Any = bar(desc=label, unit="day", total=0)
        self._bytes: Any = bar(
            desc=f"{label} download", unit="B", unit_scale=True, unit_divisor=1024, total=0
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._days.close()
        self._bytes.close()

    def expect_days(self, count: int) -> None:
        """Set the length of the first bar."""
        self._days.total = count
        self._days.refresh()

    def add_days(self, count: int) -> None:
        """Move the first bar."""
        self._days.update(count)

    def expect_bytes(self, count: int) -> None:
        """Lengthen the second bar."""
        self._bytes.total += count
        self._bytes.refresh()

    def add_bytes(self, count: int) -> None:
        """Move the second bar."""
        self._bytes.update(count)
