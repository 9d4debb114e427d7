"""Equal ids: one trade that came twice, or two trades that must not replace each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import polars as pl

from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.columns import ID
from rangebar_polars.store.grid import DIVISOR, UNITS
from rangebar_polars.store.provenance import BROUGHT_BY, united

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OnConflict", "refuse_shared_ids", "sorted_once"]

OnConflict: TypeAlias = Literal["error", "replace"]

_HINT = (
    "to correct stored trades give on_conflict='replace'; ids that start anew in every frame, as "
    "those of with_row_index, name nothing: for trades without ids give agg_trade_id=None"
)
_NUMBERED_HINT = (
    "without ids each write of a day must hold the day from its first trade on, in the same order; "
    "to replace the whole day give on_conflict='replace'"
)


def sorted_once(
    batch: pl.DataFrame, on_conflict: OnConflict, *, numbered: bool = False
) -> pl.DataFrame:
    """Return rows of one grid sorted by id, each id once.

    With ``"replace"`` the last row of an id stays. With ``"error"`` all must be one trade, where
    a null gives way to a value: a column may have come later.

    Raises
    ------
    RangeBarError
        Where an id names two different trades; shows both.
    """
    ids = batch[ID]
    if bool((ids.diff().slice(1) > 0).all()):
        return batch
    batch = batch.sort(ID, maintain_order=True)
    again = (batch[ID] == batch[ID].shift()).fill_null(value=False)
    if not again.any():
        return batch
    files = None
    if BROUGHT_BY in batch.columns:
        batch, files = _files_united(batch, again)
    if on_conflict == "replace":
        once = batch.unique(subset=ID, keep="last", maintain_order=True)
    else:
        # Nearly always rows come again as they were, and are simply left out.
        values = pl.exclude(ID, BROUGHT_BY)
        changed = batch.select(pl.any_horizontal(values.ne_missing(values.shift()))).to_series()
        hard = batch.filter(again & changed)[ID].unique()
        once = batch.filter(~again.shift(-1, fill_value=False))
        if not hard.is_empty():
            once = _filled(batch, once, hard, numbered=numbered)
    return once if files is None else once.update(files, on=ID, how="left")


def _files_united(
    batch: pl.DataFrame, again: pl.Series
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Let the last row of an id name all files that brought it.

    Where that takes more than a look at the row before, the names come by themselves.
    """
    names = batch[BROUGHT_BY]
    before = names.shift()
    differs = again & names.ne_missing(before)
    more = differs & ((names.is_not_null() & before.is_not_null()) | again.shift(fill_value=False))
    more |= again & differs.shift(fill_value=False)
    known = pl.coalesce(pl.lit(names), pl.when(pl.lit(again)).then(pl.lit(before)))
    seen = batch.filter(pl.col(ID).is_in(batch.filter(more)[ID].unique().implode()))
    batch = batch.with_columns(known.alias(BROUGHT_BY))
    return batch, None if seen.is_empty() else united(seen.select(ID, BROUGHT_BY), ID)


def _filled(
    batch: pl.DataFrame, once: pl.DataFrame, hard: pl.Series, *, numbered: bool
) -> pl.DataFrame:
    """Make one row of those of an id that differ in nulls alone."""
    chosen = pl.col(ID).is_in(hard.implode())
    groups = batch.filter(chosen).group_by(ID, maintain_order=True)
    known = pl.exclude(ID, BROUGHT_BY).drop_nulls()
    differ = groups.agg(known.n_unique() > 1).filter(pl.any_horizontal(pl.exclude(ID)))
    if differ.height:
        raise RangeBarError(_two_trades(batch, differ[ID][0], numbered=numbered))
    filled = groups.agg(pl.exclude(ID).drop_nulls().last()).select(batch.columns)
    return pl.concat([once.filter(~chosen), filled]).sort(ID)


def _two_trades(batch: pl.DataFrame, id_: int, *, numbered: bool) -> str:
    rows = batch.filter(pl.col(ID) == id_).with_columns(price=pl.col(UNITS) / pl.col(DIVISOR))
    shown = rows.select(
        name for name in ("timestamp", "price", "quantity", "is_buyer_maker") if name in rows
    )
    others = [n for n in rows.columns if n not in (UNITS, DIVISOR, ID, BROUGHT_BY, *shown.columns)]
    # What differs first: of many columns few can be shown.
    shown = shown.hstack(rows.select(n for n in others if rows[n].drop_nulls().n_unique() > 1))
    texts = [
        ", ".join(f"{name} {value}" for name, value in row.items())
        for row in shown.unique(maintain_order=True).head(2).rows(named=True)
    ]
    if numbered:
        day = rows["timestamp"][0]
        what, hint = f"trade {id_} of {day:%Y-%m-%d}, counted from 0, differs", _NUMBERED_HINT
    else:
        what, hint = f"{ID} {id_} names two different trades", _HINT
    return f"{what}: ({'), and ('.join(texts)}); {hint}"


def refuse_shared_ids(before: Path, after: Path, low: int, high: int) -> None:
    """Refuse that an id from ``low`` to ``high`` names different trades of two neighbouring days.

    A trade near midnight may be in the files of both days, even with two times; reading gives
    it once. With another price or quantity it is another trade, and would be lost.

    Raises
    ------
    RangeBarError
        Names the id and shows both trades.
    """
    shared = pl.col(ID).is_between(low, high)
    first, second = (_trades_of(path).filter(shared) for path in (before, after))
    differs = (pl.col("price") != pl.col("price_after")) | (
        pl.col("quantity") != pl.col("quantity_after")
    )
    joined = first.join(second, on=ID, suffix="_after").filter(differs)
    found = joined.bottom_k(1, by=ID).collect()
    if found.height:
        row = found.row(0, named=True)
        trades = "), and (".join(
            f"timestamp {row[f'timestamp{side}']}, price {row[f'price{side}']}, "
            f"quantity {row[f'quantity{side}']}"
            for side in ("", "_after")
        )
        msg = f"{ID} {row[ID]} names two different trades of neighbouring days: ({trades}); {_HINT}"
        raise RangeBarError(msg)


def _trades_of(path: Path) -> pl.LazyFrame:
    frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    has_quantity = "quantity" in frame.collect_schema()
    return frame.select(
        ID,
        "timestamp",
        price=pl.col(UNITS) / pl.col(DIVISOR),
        quantity=pl.col("quantity") if has_quantity else pl.lit(None, pl.Float64),
    )
