"""The Parquet writer and the footer reader: all there is of pyarrow in the store."""

# pyarrow ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.exceptions import PanicException

from rangebar_polars._endings import raise_if_interrupt
from rangebar_polars._files import sync_file
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.columns import ID
from rangebar_polars.store.grid import DIVISOR, UNITS
from rangebar_polars.store.provenance import BROUGHT_BY, NO_FILE, names_in
from rangebar_polars.store.typed import bit_sum, int_sum

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "ROW_GROUP",
    "DayWriter",
    "Footer",
    "check_same_dtypes",
    "check_same_kind",
    "checked_row_groups",
    "exact_sums",
    "read_footer",
]

ROW_GROUP = 81_920
"""Rows of a row group. Memory of a write and of a scan is this times the row groups in flight, but
every row group has a dictionary of quantities of its own, which should be shared by many rows."""

_FORMAT = 2
_META = "rangebar_polars"
_DICTIONARY_BYTES = ROW_GROUP // 2 * 8
"""Of a column where more than half of the values are different, the rest is better stored plain."""

_DELTA = (pl.Int32, pl.Int64, pl.UInt32, pl.UInt64, pl.Datetime)


def _parquet() -> Any:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "the trade store needs pyarrow: pip install 'rangebar_polars[store]'"
        raise ImportError(msg) from error
    return pq


@dataclass(frozen=True)
class Footer:
    """What the end of a file tells about it."""

    path: Path
    rows: int
    first_id: int
    last_id: int
    first_time: int
    last_time: int
    columns: dict[str, pl.DataType]
    divisor: int
    sums: dict[str, int]
    numbered: bool
    files: frozenset[str]

    @property
    def names(self) -> list[str]:
        """The columns as users see them, in order."""
        hidden = {DIVISOR, BROUGHT_BY, ID} if self.numbered else {DIVISOR, BROUGHT_BY}
        seen = [name for name in self.columns if name not in hidden]
        return ["price" if name == UNITS else name for name in seen]

    @property
    def times(self) -> tuple[int, int]:
        """The first and the last time."""
        return self.first_time, self.last_time

    def overlaps(self, after: Footer) -> bool:
        """Whether the day after it shares a range of ids with this one.

        Ids that start again from below are another matter: a numbering that began anew, in which
        equal ids are different trades.
        """
        return self.first_id < after.first_id <= self.last_id < after.last_id


def read_footer(path: Path) -> Footer:
    """Read what `DayWriter` noted.

    Raises
    ------
    RangeBarError
        Where the file is no file of this store, or cannot be read.
    """
    # By Polars: pyarrow alone would take longer to load than a year of footers to read.
    try:
        noted = json.loads(pl.read_parquet_metadata(path)[_META])
        if noted["format"] != _FORMAT:
            msg = (
                f"{path}: written in format {noted['format']}, this version reads format "
                f"{_FORMAT}: delete it and fetch or write its trades again"
            )
            raise RangeBarError(msg)
        return Footer(
            path,
            int(noted["rows"]),
            int(noted["ids"][0]),
            int(noted["ids"][1]),
            int(noted["times"][0]),
            int(noted["times"][1]),
            # Not read_parquet_schema: to that a '[' in the path is a pattern.
            dict(pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()),
            int(noted["divisor"]),
            {name: int(text) for name, text in noted["sums"].items()},
            bool(noted.get("numbered", False)),
            frozenset(map(str, noted.get("files", [NO_FILE]))),
        )
    except FileNotFoundError:
        raise
    except RangeBarError:
        raise
    except (Exception, PanicException) as error:
        raise_if_interrupt(error)
        # Whatever: what is in a damaged footer decides what it makes a library raise.
        msg = f"{path}: not a file of this store, or damaged: {error}"
        raise RangeBarError(msg) from error


def check_same_kind(footer: Footer, numbered: bool) -> None:
    """Refuse trades with ids beside trades without, of which no order could be told."""
    if footer.numbered != numbered:
        stored, new = ("without", "with") if footer.numbered else ("with", "without")
        msg = (
            f"{footer.path.name[:10]} is stored {stored} ids and other trades of the symbol come "
            f"{new} ({ID}{'=None' if numbered else ''}): keep them apart by another source="
        )
        raise RangeBarError(msg)


def check_same_dtypes(first: Footer, second: Footer) -> None:
    """Refuse two files that no scan could read as one."""
    for name, dtype in second.columns.items():
        other = first.columns.get(name, dtype)
        if other != dtype:
            msg = (
                f"column '{name}' has dtype {other} on {first.path.name[:10]} and {dtype} on "
                f"{second.path.name[:10]}: cast it before it is written"
            )
            raise RangeBarError(msg)


def exact_sums(encoded: pl.DataFrame, first_row: int) -> dict[str, int]:
    """Sum what stands for prices, quantities and flags: a changed bit changes a sum.

    Of flags the numbers of the rows are summed that are set, counted in the file from 1:
    ``first_row`` is the number of rows before these. pyarrow writes no checksum for their pages.
    """
    sums = {"price": int_sum(encoded[UNITS])}
    if "quantity" in encoded.columns:
        sums["quantity"] = bit_sum(encoded["quantity"])
    numbers = pl.int_range(first_row + 1, first_row + encoded.height + 1, eager=True)
    for flags in encoded.select(pl.col(pl.Boolean)).iter_columns():
        sums[flags.name] = int(numbers.filter(flags.fill_null(False)).sum())
    return sums


def _release_memory() -> None:
    """Give back what pyarrow's allocator keeps for the next row group: some 10 MB."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    pa.default_memory_pool().release_unused()


def checked_row_groups(path: Path) -> Iterator[pl.DataFrame]:
    """Yield the row groups of a file as they are stored, comparing every page's checksum."""
    pq = _parquet()
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for index in range(file.num_row_groups):
            frame = pl.from_arrow(file.read_row_group(index))
            assert isinstance(frame, pl.DataFrame)
            yield frame


def _repeated(text: str, rows: int) -> Any:
    """A column of one text: as a dictionary it takes no time to write."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), rows), [text])


@dataclass
class DayWriter:
    """Writes the rows of one day, in the order they come, in the store's layout.

    The caller says what order that is; the writer only remembers whether ids rose all along.
    ``numbered``: the ids only count the rows of the day, and readers do not see them.
    ``brought_by``: the file that all rows come from, where batches do not say so themselves.
    """

    path: Path
    numbered: bool = False
    brought_by: str | None = None
    rows: int = 0
    ordered: bool = True
    first_id: int = 0
    last_id: int = 0
    times: tuple[int, int] = (0, 0)
    divisor: int = 1
    files: set[str] = field(default_factory=set[str])
    _sums: dict[str, int] = field(default_factory=dict[str, int])
    _writer: Any = None

    def write(self, batch: pl.DataFrame) -> None:
        """Append an encoded batch as one row group. All batches must share their divisors."""
        ids = batch[ID]
        low = ids[0]
        rising = bool((ids.diff().slice(1) > 0).all())
        if not rising or (self.rows and low <= self.last_id):
            self.ordered = False
        lowest, highest = ids.min(), ids.max()
        times = batch["timestamp"].to_physical()
        first, last = times.min(), times.max()
        assert isinstance(lowest, int)
        assert isinstance(highest, int)
        assert isinstance(first, int)
        assert isinstance(last, int)
        self.first_id = min(self.first_id, lowest) if self.rows else lowest
        self.last_id = max(self.last_id, highest) if self.rows else highest
        known = self.times if self.rows else (first, last)
        self.times = (min(known[0], first), max(known[1], last))
        self.divisor = int(batch[DIVISOR][0])
        for name, total in exact_sums(batch, self.rows).items():
            self._sums[name] = self._sums.get(name, 0) + total
        self.rows += batch.height
        table = batch.to_arrow()
        if self.brought_by is None:
            self.files |= names_in(batch)
        else:
            self.files.add(self.brought_by)
            table = table.append_column(BROUGHT_BY, _repeated(self.brought_by, batch.height))
        if self._writer is None:
            self._writer = self._open(batch, table.schema)
        self._writer.write_table(table, row_group_size=batch.height)
        _release_memory()

    def _open(self, batch: pl.DataFrame, schema: Any) -> Any:
        delta = [n for n, t in batch.schema.items() if isinstance(t, _DELTA)]
        plain = {n for n, t in batch.schema.items() if t.is_float() or t == pl.Boolean}
        plain -= {DIVISOR, "quantity"}
        repeats = [n for n in schema.names if n not in delta and n not in plain]
        few = batch.height < ROW_GROUP
        return _parquet().ParquetWriter(
            self.path,
            schema,
            # Packed like this, only a dictionary leaves something to a compressor that keeps the
            # scan's pace. A day of few trades is all dictionary, and read in no time anyway.
            compression=dict.fromkeys(repeats, "zstd" if few else "lz4"),
            use_dictionary=repeats,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
            write_page_checksum=True,
            # Row groups are skipped by these.
            write_statistics=["timestamp", ID],
            store_schema=False,
        )

    def close(self) -> None:
        """Finish the file and force it to disk."""
        if self._writer is None:
            return
        note = {
            "format": _FORMAT,
            "rows": self.rows,
            "ids": [self.first_id, self.last_id],
            "numbered": self.numbered,
            "files": sorted(self.files),
            "times": list(self.times),
            "divisor": self.divisor,
            "sums": {name: str(total) for name, total in self._sums.items()},
        }
        self._writer.add_key_value_metadata({_META: json.dumps(note)})
        self._writer.close()
        self._writer = None
        sync_file(self.path)

    def abandon(self) -> None:
        """Let go of the file without finishing it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
