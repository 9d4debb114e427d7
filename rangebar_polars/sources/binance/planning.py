"""Which files bring the days that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from rangebar_polars.sources.binance.files import ArchiveFile, Feed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rangebar_polars.store import Origin

__all__ = ["Plan", "Step", "make_plan"]

_PROBES = 8


@dataclass(frozen=True)
class Step:
    """One file, or a run of days that only the REST service has.

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
    sha256: str | None
    stored: bool

    @property
    def days(self) -> int:
        """How many days these are."""
        return (self.last_day - self.first_day).days + 1


@dataclass
class Plan:
    """Steps in the order of time, and the days that no step brings."""

    steps: list[Step] = field(default_factory=list[Step])
    missing: list[date] = field(default_factory=list[date])


def make_plan(
    feed: Feed,
    days: Sequence[date],
    today: date,
    origins: dict[str, Origin],
    probe: Callable[[ArchiveFile], tuple[bool, str | None]],
    *,
    revalidate: bool,
    recent: bool,
) -> Plan:
    """Choose months where whole months are asked and published, and days elsewhere.

    Everything is asked for before anything is fetched, so that missing days are known first.

    Parameters
    ----------
    probe
        Tells whether a file is published, and its hash where known. Called from threads.
    revalidate
        Whether to ask also about files that are in the store.
    recent
        Whether days at the end that are not published yet come from the REST service.
    """

    def ask(file: ArchiveFile) -> tuple[bool, str | None]:
        if not revalidate and file.name in origins:
            return True, origins[file.name].sha256
        return probe(file)

    months = [list(group) for _, group in groupby(days, key=lambda day: (day.year, day.month))]
    chosen: dict[date, Step] = {}
    with ThreadPoolExecutor(_PROBES, thread_name_prefix="rangebar-probe") as pool:
        monthly = [
            (asked, _month_file(feed, asked[0]))
            for asked in months
            if _wants_month(feed, asked, today, origins)
        ]
        answers = pool.map(ask, [file for _, file in monthly])
        for (asked, file), (published, sha256) in zip(monthly, answers, strict=True):
            if published:
                step = _step(file, asked[0], asked[-1], sha256, origins)
                chosen.update(dict.fromkeys(asked, step))
        rest = [ArchiveFile(feed, day, day) for day in days if day not in chosen and day < today]
        for file, (published, sha256) in zip(rest, pool.map(ask, rest), strict=True):
            if published:
                day = file.first_day
                chosen[day] = _step(file, day, day, sha256, origins)
    plan = Plan()
    for day in days:
        step = chosen.get(day)
        if step is None:
            plan.missing.append(day)
        elif not plan.steps or plan.steps[-1] is not step:
            plan.steps.append(step)
    if recent:
        _take_recent(plan, days, today)
    return plan


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
        plan.steps.append(Step(tail[-1], tail[0], None, None, stored=False))
        plan.missing = sorted(missing.difference(tail))


def _step(
    file: ArchiveFile, first: date, last: date, sha256: str | None, origins: dict[str, Origin]
) -> Step:
    known = origins.get(file.name)
    stored = known is not None and sha256 in {None, known.sha256}
    return Step(first, last, file, sha256, stored)


def _wants_month(
    feed: Feed, asked: Sequence[date], today: date, origins: dict[str, Origin]
) -> bool:
    file = _month_file(feed, asked[0])
    if file.name in origins:
        return True  # also where less than the month is asked: it is here
    whole = asked[0] == file.first_day and asked[-1] == file.last_day and file.last_day < today
    return whole and not all(ArchiveFile(feed, day, day).name in origins for day in asked)


def _month_file(feed: Feed, day: date) -> ArchiveFile:
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return ArchiveFile(feed, first, following - timedelta(days=1))
