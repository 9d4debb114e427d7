"""Resuming lazily: the bars of new trades after a checkpoint."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import polars as pl

from rangebar_polars import _internal
from rangebar_polars._options import Overlap
from rangebar_polars._plan import run_plan
from rangebar_polars._source import Request, lazy_source
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.processor import RangeBarProcessor
from rangebar_polars.reports import PushReport

__all__ = ["ResumeHandle", "resume_bars", "resume_from"]


class ResumeHandle:
    """The checkpoint that a run of :func:`resume_bars` arrives at, once it has arrived."""

    def __init__(self) -> None:
        self._checkpoint: str | None = None
        self._report = PushReport()

    @property
    def is_done(self) -> bool:
        """Whether the bars have been consumed to their end."""
        return self._checkpoint is not None

    @property
    def report(self) -> PushReport:
        """How the new trades followed those of the checkpoint."""
        self.checkpoint()
        return self._report

    def checkpoint(self) -> str:
        """
        Return the checkpoint after the new trades.

        Raises
        ------
        rangebar_polars.exceptions.RangeBarError
            If the bars have not been consumed to their end: a run that failed, was abandoned or
            stopped after some rows must not be resumed from.
        """
        if self._checkpoint is None:
            msg = "the bars have not been consumed to their end, so there is no new checkpoint yet"
            raise RangeBarError(msg)
        return self._checkpoint

    def _arrive(self, checkpoint: str, report: PushReport) -> None:
        self._checkpoint, self._report = checkpoint, report


@dataclass(frozen=True)
class _ResumeSource:
    trades: pl.LazyFrame
    checkpoint: _internal.Checkpoint
    on_overlap: Overlap | None
    handle: ResumeHandle = field(default_factory=ResumeHandle)

    def processor(self) -> RangeBarProcessor:
        """A processor with the state of the checkpoint, made anew for every run."""
        return RangeBarProcessor._resumed(self.checkpoint, self.on_overlap)  # noqa: SLF001 - the same state

    def frames(self, request: Request) -> Generator[pl.DataFrame, None, None]:  # noqa: ARG002
        """
        The bars of one run; see `rangebar_polars._source`.

        All trades and all their columns are read whatever is asked for, as the next checkpoint
        is made of them.
        """
        processor = self.processor()
        report = PushReport()

        def push(batch: pl.DataFrame) -> pl.DataFrame:
            nonlocal report
            bars = processor.push(batch)
            report += processor.report
            return bars

        yield from run_plan(processor.new_trades(self.trades), push)
        self.handle._arrive(processor.checkpoint(), report)  # noqa: SLF001 - its own handle


def resume_bars(
    trades: pl.LazyFrame, checkpoint: str, *, on_overlap: Overlap | None = None
) -> tuple[pl.LazyFrame, ResumeHandle]:
    """
    Bars of new trades, resumed from a checkpoint.

    Parameters
    ----------
    trades
        The trades after those of the checkpoint.
    checkpoint
        What :meth:`RangeBarProcessor.checkpoint` or an earlier handle returned. It brings the
        options along.
    on_overlap
        `'error'` or `'skip'`: what to do with trades that were there before, as for
        :class:`RangeBarProcessor`; by default as the checkpoint says. With `'skip'` and no keys,
        `trades` may be all there are: those from before the checkpoint are not even read where
        the scan can leave them out.

    Returns
    -------
    bars : LazyFrame
        The bars that the new trades close. The bar in progress is in the checkpoint, not here.
    handle : ResumeHandle
        Has the new checkpoint once the bars have been consumed to their end, and not before.

    Raises
    ------
    rangebar_polars.exceptions.CheckpointError
        If the checkpoint cannot be read.

    Examples
    --------
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> processor = rb.RangeBarProcessor(250)
    >>> day = pl.DataFrame({"timestamp": [1], "price": [100.0], "quantity": [1.0]})
    >>> _ = processor.push(day)
    >>> next_day = pl.LazyFrame({"timestamp": [2], "price": [101.0], "quantity": [2.0]})
    >>> bars, handle = rb.resume_bars(next_day, processor.checkpoint())
    >>> bars.select("open", "close", "volume").collect().rows()
    [(100.0, 101.0, 3.0)]
    >>> text = handle.checkpoint()
    """
    return resume_from(trades, _internal.Checkpoint(checkpoint), on_overlap)


def resume_from(
    trades: pl.LazyFrame, checkpoint: _internal.Checkpoint, on_overlap: Overlap | None
) -> tuple[pl.LazyFrame, ResumeHandle]:
    """`resume_bars` from a checkpoint that has been read."""
    source = _ResumeSource(trades, checkpoint, on_overlap)
    processor = source.processor()
    schema = processor.bars_schema(trades.collect_schema())
    detail = f"{processor.detail}; resumed"
    bars = lazy_source(source.frames, schema, name="RANGE BARS", detail=detail, pure=False)
    return bars, source.handle
