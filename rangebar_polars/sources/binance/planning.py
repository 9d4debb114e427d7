"""Which files bring the days that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from rangebar_polars._time import month_end
from rangebar_polars.sources.binance.files import ArchiveFile, Feed

if TYPE_CHECKING:
    from rangebar_polars.store import Origin

__all__ = ["LATE_DAYS", "Ask", "Plan", "Published", "Step", "Stored", "make_plan"]

LATE_DAYS = 7
"""Daily files come the next day, sometimes days late."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Published:
    """What the archive says of a file that it has: the hash, where that was asked for."""

    sha256: str | None


Ask: TypeAlias = "Callable[[Iterable[ArchiveFile]], list[Published | None]]"
"""Tells about files, in their order: None where one is not published."""


@dataclass(frozen=True)
class Stored:
    """What the store has of a feed: the files that were taken in, and the days that have trades."""

    origins: Mapping[str, Origin]
    days: AbstractSet[date]

    def has(self, file: ArchiveFile, sha256: str | None) -> bool:
        """Whether the trades of this very file are here."""
        known = self.origins.get(file.name)
        if known is None or sha256 not in {None, known.sha256}:
            return False
        # The trades of a day go where another version of its month's file replaces them without.
        return file.monthly or file.first_day in self.days


@dataclass(frozen=True)
class Step:
    """Successive days out of one file, or days that only the REST service has.

    Attributes
    ----------
    first_day, last_day : date
        The days that were asked for among those it brings.
    file : ArchiveFile | None
        None for the REST service.
    sha256 : str | None
        The published hash; None where it was not asked for.
    stored : bool
        Whether the store has this very file.
    """

    first_day: date
    last_day: date
    file: ArchiveFile | None
    sha256: str | None = None
    stored: bool = False

    def days(self) -> list[date]:
        """All of its days."""
        count = (self.last_day - self.first_day).days + 1
        return [self.first_day + n * _DAY for n in range(count)]


@dataclass
class Plan:
    """Steps in the order of time, and the days that no step brings."""

    steps: list[Step] = field(default_factory=list[Step])
    missing: list[date] = field(default_factory=list[date])


def make_plan(
    feed: Feed,
    days: Sequence[date],
    today: date,
    stored: Stored,
    ask: Ask,
    *,
    months: bool = True,
    recent: bool = False,
) -> Plan:
    """Choose months where whole months are asked and published, and days elsewhere.

    Everything is asked for before anything is fetched, so that missing days are known first. A
    month's file may lack days: those that a stored one lacks are looked for by day.

    Parameters
    ----------
    months
        Whether files of months may be used.
    recent
        Whether days at the end that are not published yet come from the REST service.
    """
    chosen: dict[date, tuple[ArchiveFile, Published]] = {}
    if months:
        monthly = [
            (asked, month_file(feed, asked[0]))
            for asked in _by_month(days)
            if _wants_month(feed, asked, today, stored)
        ]
        for (asked, file), published in zip(monthly, ask(f for _, f in monthly), strict=True):
            if published is not None:
                known = stored.has(file, published.sha256)
                there = [day for day in asked if day in stored.days] if known else asked
                chosen.update(dict.fromkeys(there, (file, published)))
    daily = [ArchiveFile(feed, day, day) for day in days if day not in chosen and day < today]
    for file, published in zip(daily, ask(daily), strict=True):
        if published is not None:
            chosen[file.first_day] = (file, published)
    plan = Plan(missing=[day for day in days if day not in chosen])
    for found, run in groupby(days, key=chosen.get):
        if found is not None:
            file, published = found
            among = list(run)
            is_stored = stored.has(file, published.sha256)
            plan.steps.append(Step(among[0], among[-1], file, published.sha256, is_stored))
    if recent:
        _take_recent(plan, days, today)
    return plan


def month_file(feed: Feed, day: date) -> ArchiveFile:
    """The file of the month that a day is in."""
    return ArchiveFile(feed, day.replace(day=1), month_end(day))


def _by_month(days: Sequence[date]) -> list[list[date]]:
    return [list(group) for _, group in groupby(days, key=lambda day: (day.year, day.month))]


def _take_recent(plan: Plan, days: Sequence[date], today: date) -> None:
    """Hand the unpublished days at the end over to the REST service."""
    missing = set(plan.missing)
    tail: list[date] = []
    for day in reversed(days):
        if day > today:
            continue
        if day not in missing:
            break
        tail.append(day)
    if tail:
        plan.steps.append(Step(tail[-1], tail[0], None))
        plan.missing = sorted(missing.difference(tail))


def _wants_month(feed: Feed, asked: Sequence[date], today: date, stored: Stored) -> bool:
    file = month_file(feed, asked[0])
    if file.name in stored.origins:
        return True  # also where less than the month is asked: it is here
    whole = asked[0] == file.first_day and asked[-1] == file.last_day and file.last_day < today
    return whole and not all(ArchiveFile(feed, day, day).name in stored.origins for day in asked)
