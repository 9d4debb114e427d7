"""The data set of bars that grows: `update_bars`."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Unpack

import polars as pl
from filelock import FileLock
from polars.exceptions import PanicException, PolarsError

from rangebar_polars import _internal
from rangebar_polars._endings import raise_if_interrupt
from rangebar_polars._files import discard, kept, local_path, publish, temporary_path
from rangebar_polars._options import TradeKeywords, shows_keywords
from rangebar_polars.exceptions import CheckpointError, RangeBarError
from rangebar_polars.processor import RangeBarProcessor
from rangebar_polars.reports import PushReport
from rangebar_polars.resume import resume_from
from rangebar_polars.rules import IntoRule

__all__ = ["UpdateReport", "update_bars"]

_PART: Final = re.compile(r"part-(\d{8})\.parquet")
_METADATA_KEY: Final = "rangebar_polars.checkpoint"


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
    checkpoint : str
        The state after the update, for :meth:`RangeBarProcessor.from_checkpoint`.
    """

    path: Path | None
    bars: int
    trades: PushReport
    checkpoint: str


@shows_keywords(TradeKeywords, on_overlap="skip")
def update_bars(
    trades: pl.LazyFrame,
    path: str | os.PathLike[str],
    rule: IntoRule | Iterable[IntoRule],
    **keywords: Unpack[TradeKeywords],
) -> UpdateReport:
    """
    Append the bars of new trades to a Parquet data set of bars.

    The data set is a directory of `part-*.parquet` and nothing else, to be read with
    `pl.scan_parquet(path)`, also while an update runs. Each part has the checkpoint after it in
    its own metadata, so that a part and its checkpoint come to be in one step: killed at any
    instant, an update has happened or has not. Updates of one data set take turns, from
    whatever threads and processes. What they keep beside the data set (a lock, unfinished
    files) lies in the directory `.<name>.update`, next to that of the data set.

    Needs filelock: `pip install 'rangebar_polars[dataset]'`.

    Parameters
    ----------
    trades
        Trades after those of the update before. They may begin earlier: with
        `on_overlap='skip'` what was there before is left out, so that running an update twice
        adds nothing.
    path
        The local directory, taken as it is written, `[` and `*` too; made if it does not exist.
        Folders such as `bars/symbol=BTCUSDT` make one data set each of a Hive tree.
    rule, by, columns, reset, reset_offset, max_gap, time_unit, same_timestamp_close, decimals
        As for :func:`range_bars`, and always the same for one data set.
    incomplete
        Likewise. `"keep"` keeps bars that were cut off; those in progress are in the checkpoint.
    on_overlap
        As for :class:`RangeBarProcessor`, but by default `"skip"`.

    Returns
    -------
    UpdateReport
        What was added, and how the trades followed those before.

    Raises
    ------
    ValueError
        If `path` is a URL.
    rangebar_polars.exceptions.CheckpointError
        If the data set was made with other options, or its last part cannot be resumed.
    rangebar_polars.exceptions.InvalidTradeError
        For a bad trade; the data set is then as it was.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> day = pl.LazyFrame({"timestamp": [1, 2], "price": [100.0, 101.0], "quantity": [1.0, 2.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/bars"
    ...     first = rb.update_bars(day, path, 250)
    ...     again = rb.update_bars(day, path, 250)
    ...     bars = pl.read_parquet(path)
    >>> first.bars, again.bars, bars.height
    (1, 0, 1)
    """
    directory = _directory(path)
    on_overlap = keywords.setdefault("on_overlap", "skip")
    fresh = RangeBarProcessor(rule, **keywords)
    with _turn(directory) as work:
        parts = _parts(directory)
        before = _last_checkpoint(parts[-1]) if parts else fresh.checkpoint()
        state = _internal.Checkpoint(before)
        fresh.check_same_options(state, trades.collect_schema(), str(directory))
        bars, handle = resume_from(trades, state, on_overlap)
        number = int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 0
        part = directory / f"part-{number:08}.parquet"
        streamed, complete = temporary_path(part, work), temporary_path(part, work)
        try:
            bars.sink_parquet(streamed)
            after = handle.checkpoint()
            if handle.report.rows == handle.report.skipped and parts:
                return UpdateReport(None, 0, handle.report, before)
            # The checkpoint exists only now that all bars are written, and a Parquet file's
            # metadata cannot be added to: so once more, which is little beside the trades.
            again = pl.scan_parquet(streamed, glob=False, hive_partitioning=False)
            again.sink_parquet(complete, metadata={_METADATA_KEY: after})
            count: int = again.select(pl.len()).collect().item()
            publish(complete, part, replace=False)
            streamed.unlink()
            kept(streamed)
            kept(complete)
        except PanicException as error:
            raise_if_interrupt(error)
            raise
        finally:
            # Ctrl-C may come twice in a row, from Polars and from Python.
            try:
                _discard_both(streamed, complete)
            except KeyboardInterrupt:
                _discard_both(streamed, complete)
                raise
        return UpdateReport(part, count, handle.report, after)


def _discard_both(streamed: Path, complete: Path) -> None:
    discard(streamed)
    discard(complete)


def _directory(path: str | os.PathLike[str]) -> Path:
    """The data set's directory by the name that every update of it finds."""
    # Resolved, so that a relative path, a symbolic link and the real one share a lock.
    directory = local_path(path).resolve()
    if directory.exists() and not directory.is_dir():
        msg = f"{directory} is a file; update_bars needs the path of a directory"
        raise NotADirectoryError(msg)
    return directory


def _work_directory(directory: Path) -> Path:
    """Where the lock and unfinished files lie: where no scan of the data set finds them.

    Polars reads every file below a directory, whatever its name begins with. A data set that is
    one folder of a Hive tree is scanned with the whole tree, so its files lie beside that.
    """
    top, inside = directory, list[str]()
    while "=" in top.name and top != top.parent:
        inside.insert(0, top.name)
        top = top.parent
    return Path(top.parent, f".{top.name}.update", *inside)


@contextmanager
def _turn(directory: Path) -> Generator[Path, None, None]:
    """Be the only one who updates the data set; gives the directory for unfinished files."""
    work = _work_directory(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        msg = f"cannot make {error.filename}: update_bars keeps its unfinished files in {work}"
        raise PermissionError(error.errno, msg) from error
    if work.stat().st_dev != directory.stat().st_dev:
        msg = (
            f"{directory} is a file system of its own, in which a part cannot appear in one step "
            f"from {work}: use a directory inside {directory}"
        )
        raise RangeBarError(msg)
    # The system releases this lock when its holder dies, so nothing has to be cleared by hand.
    with FileLock(work / "lock"):
        for abandoned in work.glob(".*.tmp"):
            abandoned.unlink(missing_ok=True)
        yield work


def _parts(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if _PART.fullmatch(path.name))


def _last_checkpoint(part: Path) -> str:
    try:
        metadata = pl.read_parquet_metadata(part)
    except (OSError, PolarsError) as error:
        msg = f"{part} cannot be read as a part of the data set: {error}"
        raise CheckpointError(msg) from error
    if _METADATA_KEY not in metadata:
        msg = f"{part} has no checkpoint in it: update_bars did not write it"
        raise CheckpointError(msg)
    return metadata[_METADATA_KEY]
