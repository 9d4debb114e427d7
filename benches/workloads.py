"""What is compared with what, and what the project demands of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from benches.datasets import ROW_GROUP, Dataset
from benches.jobs import FOUR, SEVEN, Job

#: Thresholds of the runs with eight at once.
EIGHT = (50, 100, 150, 250, 350, 500, 750, 1000)

#: What a consumer sleeps after each batch of bars in the runs with a slow one.
SLEEP_MS = 10


@dataclass(frozen=True)
class Case:
    """A contender on a data set with its options.

    Attributes
    ----------
    label
        Its name in tables and goals, unique within a workload.
    contender
        A key of `benches.contenders.CONTENDERS`.
    data
        The trades.
    columns, thresholds, sleep_ms
        As in `benches.jobs.Job`.
    like_ours
        Run with the prefetch that this library chooses for itself, rather than Polars' default.
    group
        Cases of one workload with equal groups must make equal bars.
    timed
        Whether it is measured, or only asked for its bars to compare the others' with.
    times
        How often it runs in a round: more than once where a ratio stands close to its limit.
    """

    label: str
    contender: str
    data: Dataset
    columns: tuple[str, ...] = FOUR
    thresholds: tuple[int, ...] = (250,)
    sleep_ms: int = 0
    like_ours: bool = False
    group: str = ""
    timed: bool = True
    times: int = 1

    def job(self, out: str | None = None) -> Job:
        """Return the job for a process.

        Parameters
        ----------
        out
            Where to leave the bars; not at all where None.
        """
        return Job(
            self.contender,
            (str(self.data.path),),
            self.columns,
            self.thresholds,
            self.data.by,
            self.sleep_ms,
            out,
        )


@dataclass(frozen=True)
class Goal:
    """A demand: some figure, or its ratio to another, is at most (at least) a limit.

    Attributes
    ----------
    what
        The demand in words.
    of, to
        Case labels, as ``workload/label`` where it is another workload's; the plain figure where
        `to` is None.
    figure
        Which figure.
    limit
        The limit, a ratio or MB.
    kind
        Whether the limit is an upper or a lower one.
    """

    what: str
    of: str
    to: str | None
    figure: Literal["seconds", "peak_mb"]
    limit: float
    kind: Literal["at most", "at least"] = "at most"


@dataclass(frozen=True)
class Workload:
    """Cases that run in turns and stand in one table.

    Attributes
    ----------
    name
        For the command line.
    title
        For the report.
    cases
        Ratios refer to the last scan above, or to the first case where there is none.
    goals
        The demands.
    """

    name: str
    title: str
    cases: tuple[Case, ...]
    goals: tuple[Goal, ...] = field(default=())


def workloads(rows: int) -> Iterator[Workload]:
    """Yield all workloads.

    Parameters
    ----------
    rows
        Trades in the large data sets: 200 million in a full run. The smaller ones follow from it.

    Yields
    ------
    Workload
        In the order of the report.
    """
    yield _main(rows)
    yield _tight(rows)
    yield _layouts(rows)
    yield _thresholds(rows)
    yield _symbols(rows)
    yield _pressure(rows)
    yield _in_memory(rows // 10)
    yield _sizes((rows // 100, rows // 10))


#: A single run is off by up to a tenth, the median of fifteen by less.
_OFTEN = 3


def _scan(
    data: Dataset, label: str = "scan", columns: tuple[str, ...] = FOUR, times: int = 1
) -> Case:
    return Case(label, "scan", data, columns, like_ours=True, times=times)


def _main(rows: int) -> Workload:
    data = Dataset(rows)
    return Workload(
        "main",
        "One symbol, threshold 250, four columns",
        (
            _scan(data, times=_OFTEN),
            Case("scan, Polars' own prefetch", "scan", data),
            Case("streaming", "streaming", data, times=_OFTEN),
            Case("expression", "expression", data),
            Case("numba", "numba", data),
            Case("polars slices", "polars slices", data),
            Case("opendeviationbar", "opendeviationbar", data),
        ),
        (
            Goal("streaming against the bare scan", "streaming", "scan", "seconds", 1.10),
            Goal("peak of streaming, MB", "streaming", None, "peak_mb", 220),
            Goal("numba against streaming", "numba", "streaming", "seconds", 3, "at least"),
            Goal(
                "opendeviationbar against streaming",
                "opendeviationbar",
                "streaming",
                "seconds",
                5,
                "at least",
            ),
            Goal("memory of numba, ratio", "numba", "streaming", "peak_mb", 20, "at least"),
            Goal(
                "memory of opendeviationbar, ratio",
                "opendeviationbar",
                "streaming",
                "peak_mb",
                20,
                "at least",
            ),
        ),
    )


def _tight(rows: int) -> Workload:
    data = Dataset(rows)
    tight = (25,)
    return Workload(
        "tight",
        "The same at threshold 25: some sixty times as many bars",
        (
            _scan(data, times=_OFTEN),
            Case("streaming", "streaming", data, thresholds=tight, times=_OFTEN),
            Case("streaming, bars dropped", "streaming sink", data, thresholds=tight),
            Case("expression", "expression", data, thresholds=tight),
            Case("numba", "numba", data, thresholds=tight),
            Case("opendeviationbar", "opendeviationbar", data, thresholds=tight),
        ),
        (
            Goal("streaming against the bare scan", "streaming", "scan", "seconds", 1.25),
            Goal("peak with the bars dropped, MB", "streaming, bars dropped", None, "peak_mb", 220),
        ),
    )


def _layouts(rows: int) -> Workload:
    cases: list[Case] = []
    goals: list[Goal] = []
    limits = {(ROW_GROUP, 4): 220, (ROW_GROUP, 7): 300, (1_000_000, 4): 500, (1_000_000, 7): 700}
    for group in (ROW_GROUP, None, 1_000_000):
        data = Dataset(rows, row_group=group)
        name = "default" if group is None else f"{group:,}"
        for columns in (FOUR, SEVEN):
            of = f"row groups {name}, {len(columns)} columns"
            scan, ours = f"scan, {of}", f"streaming, {of}"
            cases.append(_scan(data, scan, columns))
            cases.append(Case(ours, "streaming", data, columns, group=str(len(columns))))
            goals.append(Goal(f"{of}, against the scan", ours, scan, "seconds", 1.10))
            if (group, len(columns)) in limits and group is not None:
                limit = limits[group, len(columns)]
                goals.append(Goal(f"{of}, peak in MB", ours, None, "peak_mb", limit))
    return Workload("layouts", "Row groups and columns, threshold 250", tuple(cases), tuple(goals))


def _thresholds(rows: int) -> Workload:
    data = Dataset(rows)
    return Workload(
        "thresholds",
        "Eight thresholds in one pass",
        (
            Case("one threshold", "streaming", data, group="one"),
            Case("eight thresholds", "streaming", data, thresholds=EIGHT, group="eight"),
            Case("numba", "numba", data, thresholds=EIGHT, group="eight", timed=False),
        ),
        (Goal("eight against one", "eight thresholds", "one threshold", "seconds", 2.0),),
    )


def _symbols(rows: int) -> Workload:
    cases: list[Case] = []
    for symbols in (1, 50, 1000):
        data = Dataset(rows, symbols)
        name = "1 symbol" if symbols == 1 else f"{symbols} symbols"
        cases += [
            _scan(data, f"scan, {name}"),
            Case(f"streaming, {name}", "streaming", data, group=name),
            Case(f"numba, {name}", "numba", data, group=name, timed=False),
        ]
    return Workload(
        "symbols",
        "Interleaved symbols, threshold 250",
        tuple(cases),
        (
            Goal("50 against one", "streaming, 50 symbols", "streaming, 1 symbol", "seconds", 2.0),
            Goal(
                "1000 against one", "streaming, 1000 symbols", "streaming, 1 symbol", "seconds", 3.0
            ),
        ),
    )


def _pressure(rows: int) -> Workload:
    one, many = Dataset(rows), Dataset(rows, 1000)
    return Workload(
        "pressure",
        f"Memory under pressure: a consumer that sleeps {SLEEP_MS} ms a batch; 1000 x 8 machines",
        (
            Case("streaming, quick consumer", "streaming sink", one, thresholds=(25,)),
            Case(
                "streaming, slow consumer",
                "streaming sink",
                one,
                thresholds=(25,),
                sleep_ms=SLEEP_MS,
            ),
            Case("scan, 1000 symbols", "scan", many, like_ours=True),
            Case("1000 symbols x 8 thresholds", "streaming sink", many, thresholds=EIGHT),
        ),
        (
            Goal("slow consumer, peak in MB", "streaming, slow consumer", None, "peak_mb", 220),
            Goal("1000 x 8, peak in MB", "1000 symbols x 8 thresholds", None, "peak_mb", 300),
        ),
    )


def _in_memory(rows: int) -> Workload:
    data = Dataset(rows)
    return Workload(
        "memory",
        f"Trades in memory, {rows:,} of them, all seven columns, threshold 250",
        (
            Case("read every column once", "memory: read", data, SEVEN),
            Case("range_bars(DataFrame)", "memory: frame", data, SEVEN),
            Case("expression", "memory: expression", data, SEVEN),
        ),
        (
            Goal(
                "range_bars(DataFrame) against one read",
                "range_bars(DataFrame)",
                "read every column once",
                "seconds",
                2.5,
            ),
            Goal(
                "expression against range_bars(DataFrame)",
                "expression",
                "range_bars(DataFrame)",
                "seconds",
                1.2,
            ),
        ),
    )


def _sizes(sizes: tuple[int, ...]) -> Workload:
    cases: list[Case] = []
    for rows in sizes:
        data = Dataset(rows)
        name = f"{rows:,} trades"
        cases += [
            _scan(data, f"scan, {name}"),
            *(
                Case(f"{contender}, {name}", contender, data, group=name)
                for contender in ("streaming", "expression", "numba", "opendeviationbar")
            ),
        ]
    largest = f"streaming, {sizes[-1]:,} trades"
    return Workload(
        "sizes",
        "The smaller sizes, for the chart",
        tuple(cases),
        (
            Goal(
                "peak against a tenth of the trades",
                "main/streaming",
                f"sizes/{largest}",
                "peak_mb",
                1.1,
            ),
        ),
    )
