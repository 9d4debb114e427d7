"""Going on lazily: new bars of new trades, and a data set of bars that grows."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from rangebar_polars._options import AUTO, Incomplete, Optional_, Span, Threshold, TimeUnit
from rangebar_polars.exceptions import CheckpointError, RangeBarError
from rangebar_polars.processor import Overlap, PushReport, RangeBarProcessor
from rangebar_polars._plan import run_plan
from rangebar_polars._source import Request, lazy_source

__all__ = ["ResumeHandle", "UpdateReport", "resume_bars", "update_bars"]


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
            stopped after some rows must not be gone on from.
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
    checkpoint: str
    on_overlap: Overlap | None
    handle: ResumeHandle = field(default_factory=ResumeHandle)

    def processor(self) -> RangeBarProcessor:
        """A processor with the state of the checkpoint, made anew for every run."""
        return RangeBarProcessor.from_checkpoint(self.checkpoint, on_overlap=self.on_overlap)

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
    Bars of new trades, going on where a checkpoint was made.

    Parameters
    ----------
    trades
        The trades after those of the checkpoint.
    checkpoint
        What :meth:`RangeBarProcessor.checkpoint` or an earlier handle returned. It brings the
        settings along.
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
    source = _ResumeSource(trades, checkpoint, on_overlap)
    schema = source.processor().bars_schema(trades.collect_schema())
    bars = lazy_source(source.frames, schema, name="RANGE BARS", detail="resumed", pure=False)
    return bars, source.handle


@dataclass(frozen=True)
class UpdateReport:
    """
    What an update did.

    Attributes
    ----------
    path : Path or None
        The file that was added; None if there was nothing to add.
    bars : int
        Bars in it.
    trades : PushReport
        How the new trades followed those before.
    """

    path: Path | None
    bars: int
    trades: PushReport


_PART: Final = re.compile(r"part-(\d{8})\.parquet")
_METADATA_KEY: Final = "rangebar_polars.checkpoint"
CHECKPOINT_FILE: Final = "checkpoint.json"


def _parts(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if _PART.fullmatch(path.name))


def _flush(path: Path) -> None:
    """Have the system put a file, or a directory's list of files, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_directory(directory: Path) -> None:
    # Windows has no such thing, and needs none.
    with contextlib.suppress(PermissionError):
        _flush(directory)


def _publish(temporary: Path, final: Path) -> None:
    """Give a finished file its name, unless somebody else was first."""
    _flush(temporary)
    try:
        # A link, as a rename would replace what another update has just put there.
        os.link(temporary, final)
    except FileExistsError as error:
        msg = f"{final} has appeared meanwhile: another update is at work on this data set"
        raise RangeBarError(msg) from error
    temporary.unlink()
    _flush_directory(final.parent)


def _write_beside(directory: Path, checkpoint: str) -> None:
    """Put the newest checkpoint where people and other programs find it."""
    temporary = directory / f".{CHECKPOINT_FILE}.{os.getpid()}.tmp"
    temporary.write_text(checkpoint, encoding="utf-8")
    _flush(temporary)
    temporary.replace(directory / CHECKPOINT_FILE)
    _flush_directory(directory)


def _last_checkpoint(parts: Sequence[Path]) -> str:
    metadata = pl.read_parquet_metadata(parts[-1])
    if _METADATA_KEY not in metadata:
        msg = f"{parts[-1]} has no checkpoint in it: update_bars did not write it"
        raise CheckpointError(msg)
    return metadata[_METADATA_KEY]


def update_bars(
    trades: pl.LazyFrame,
    path: str | os.PathLike[str],
    threshold_decimal_bps: Threshold | Sequence[Threshold],
    *,
    by: str | Sequence[str] | None = None,
    timestamp: str | None = "timestamp",
    price: str = "price",
    quantity: str | None = "quantity",
    is_buyer_maker: Optional_ = AUTO,
    agg_trade_id: Optional_ = AUTO,
    first_trade_id: Optional_ = AUTO,
    last_trade_id: Optional_ = AUTO,
    incomplete: Incomplete = "drop",
    same_timestamp_close: bool = False,
    reset: str | None = None,
    offset: Span | None = None,
    max_gap: Span | None = None,
    time_unit: TimeUnit | None = None,
    on_overlap: Overlap = "skip",
) -> UpdateReport:
    """
    Append the bars of new trades to a Parquet data set of bars.

    The data set is a directory of `part-*.parquet`, to be read with `scan_parquet`. Each part has
    the checkpoint after it in its own metadata, so that a part and its checkpoint come to be in
    one step: killed at any instant, an update has happened or has not. `checkpoint.json` beside
    them is a copy for people and other programs.

    Parameters
    ----------
    trades
        Trades after those of the update before. They may begin earlier: with
        `on_overlap='skip'` what was there before is left out, so that running an update twice
        adds nothing.
    path
        The directory; made where there is none.
    threshold_decimal_bps, by, timestamp, price, quantity, is_buyer_maker, agg_trade_id
        As for :func:`range_bars`, and always the same for one data set.
    first_trade_id, last_trade_id, incomplete, same_timestamp_close, reset, offset, max_gap
        Likewise. `incomplete="keep"` keeps bars that were cut off; those in progress are in the
        checkpoint.
    time_unit
        Likewise.
    on_overlap
        As for :class:`RangeBarProcessor`.

    Returns
    -------
    UpdateReport
        What was added, and how the trades followed those before.

    Raises
    ------
    rangebar_polars.exceptions.CheckpointError
        If the data set was made with other settings, or cannot be gone on from.
    rangebar_polars.exceptions.RangeBarError
        If another update of the data set was faster.
    rangebar_polars.exceptions.InvalidTradeError
        For a bad trade; the data set is then as it was.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> day = pl.LazyFrame({"timestamp": [1, 2], "price": [100.0, 101.0], "quantity": [1.0, 2.0]})
    >>> with tempfile.TemporaryDirectory() as path:
    ...     first = rb.update_bars(day, path, 250)
    ...     again = rb.update_bars(day, path, 250)
    ...     bars = pl.read_parquet(f"{path}/*.parquet")
    >>> first.bars, again.bars, bars.height
    (1, 0, 1)
    """
    directory = Path(path)
    directory.mkdir(parents=True, exist_ok=True)
    fresh = RangeBarProcessor(
        threshold_decimal_bps,
        by=by,
        timestamp=timestamp,
        price=price,
        quantity=quantity,
        is_buyer_maker=is_buyer_maker,
        agg_trade_id=agg_trade_id,
        first_trade_id=first_trade_id,
        last_trade_id=last_trade_id,
        incomplete=incomplete,
        same_timestamp_close=same_timestamp_close,
        reset=reset,
        offset=offset,
        max_gap=max_gap,
        time_unit=time_unit,
        on_overlap=on_overlap,
    )
    _clear_up(directory)
    parts = _parts(directory)
    before = _last_checkpoint(parts) if parts else fresh.checkpoint()
    fresh.check_same_settings(before, str(directory))
    if parts and not _same_text(directory / CHECKPOINT_FILE, before):
        # Killed between a part and the copy of its checkpoint.
        _write_beside(directory, before)

    bars, handle = resume_bars(trades, before, on_overlap=on_overlap)
    number = int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 0
    streamed = directory / f".part-{number:08}.{os.getpid()}.bars.tmp"
    complete = directory / f".part-{number:08}.{os.getpid()}.tmp"
    try:
        bars.sink_parquet(streamed)
        after = handle.checkpoint()
        if handle.report.rows == handle.report.skipped and parts:
            return UpdateReport(None, 0, handle.report)
        # The checkpoint exists only now that all bars are written, and a Parquet file's metadata
        # cannot be added to: so once more, which is little beside the trades.
        pl.scan_parquet(streamed).sink_parquet(complete, metadata={_METADATA_KEY: after})
        count = pl.scan_parquet(complete).select(pl.len()).collect().item()
        final = directory / f"part-{number:08}.parquet"
        _publish(complete, final)
        _write_beside(directory, after)
        return UpdateReport(final, count, handle.report)
    finally:
        for temporary in (streamed, complete):
            temporary.unlink(missing_ok=True)


_TEMPORARY: Final = re.compile(r"\..*\.(\d+)(\.bars)?\.tmp")


def _clear_up(directory: Path) -> None:
    """Remove what updates that were killed have left behind."""
    for path in directory.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_running(int(match.group(1))):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return False
    if os.name == "nt":
        # No harmless question there; a left-over file is no harm either.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _same_text(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except FileNotFoundError:
        return False
