"""The data sets of the benchmarks: named by what they hold, made once, kept in ``./.bench``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from examples.trades import TradeStream

#: Where data sets, the peer's environment and results go; git ignores it.
FOLDER = Path(".bench")

#: Rows in a row group where a workload does not vary it: 512 * 512, a common choice.
ROW_GROUP = 262_144

_SEED = 20_240_101


@dataclass(frozen=True)
class Dataset:
    """Trades in one Parquet file, written by Polars with its defaults but for the row groups.

    Attributes
    ----------
    rows
        How many trades.
    symbols
        How many symbols, interleaved as they trade.
    row_group
        Rows in a row group; None leaves it to Polars.
    """

    rows: int
    symbols: int = 1
    row_group: int | None = ROW_GROUP

    @property
    def path(self) -> Path:
        """The file, whether it is there or not."""
        group = "default" if self.row_group is None else str(self.row_group)
        return FOLDER / "data" / f"trades-{self.rows}-{self.symbols}sym-rg{group}.parquet"

    @property
    def by(self) -> str | None:
        """The key column, if there are several symbols."""
        return "symbol" if self.symbols > 1 else None

    def ensure(self) -> None:
        """Make the file unless it is there.

        The same trades in other row groups are rewritten rather than made anew, which is faster.
        """
        if self.path.exists():
            return
        print(f"making {self.path.name} ...", flush=True)
        base = Dataset(self.rows, self.symbols)
        if base != self and base.path.exists():
            part = self.path.with_name(self.path.name + ".part")
            pl.scan_parquet(base.path).sink_parquet(part, row_group_size=self.row_group)
            part.replace(self.path)
            return
        stream = TradeStream(self.symbols, _SEED)
        stream.write(self.path, self.rows, row_group_size=self.row_group)

    def describe(self) -> dict[str, int | float | str]:
        """Return facts for the report: what it holds, and bytes a row of all columns."""
        return {
            "file": self.path.name,
            "rows": self.rows,
            "symbols": self.symbols,
            "row_group": "Polars' default" if self.row_group is None else self.row_group,
            "bytes_a_row": round(self.path.stat().st_size / self.rows, 2),
        }
