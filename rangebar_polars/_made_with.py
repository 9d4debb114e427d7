"""What a checkpoint says of the processor that it is of: read with mistrust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import polars as pl

from rangebar_polars import _internal
from rangebar_polars._ipc import unpack
from rangebar_polars._options import BarOptions
from rangebar_polars._plain import column_from_plain, schema_from_plain
from rangebar_polars.columns import AUTO, Auto, By, TradeColumns, check_by
from rangebar_polars.exceptions import CheckpointError

__all__ = ["MadeWith"]


@dataclass(frozen=True)
class MadeWith:
    """Options, columns and keys, and what trades have looked like, if there were any."""

    options: BarOptions
    columns: TradeColumns
    by: list[str] | Auto | None
    schema: pl.Schema | None = None

    def to_json(self) -> str:
        """What a checkpoint has to say to make the same processor; the schema apart."""
        columns = {
            role: {"auto": True} if isinstance(name, Auto) else name
            for role, name in vars(self.columns).items()
        }
        by = {"auto": True} if isinstance(self.by, Auto) else self.by
        return json.dumps({**self.options.to_dict(), "columns": columns, "by": by})

    @classmethod
    def of(cls, checkpoint: _internal.Checkpoint) -> MadeWith:
        """
        What a checkpoint of any version says.

        Raises
        ------
        rangebar_polars.exceptions.CheckpointError
            If it says what makes no sense.
        """
        try:
            made: dict[str, Any] = json.loads(checkpoint.options)
            if checkpoint.version == 1:
                # Bars were ranges alone, keys had to be named, and a side was not looked at.
                made["rules"] = [{"range": threshold} for threshold in made.pop("thresholds")]
                made["reset_offset"] = made.pop("offset")
                made["columns"]["side"] = None
            columns: Mapping[str, Any] = made.pop("columns")
            names: dict[str, Any] = {
                role: AUTO if isinstance(name, dict) else name for role, name in columns.items()
            }
            by = made.pop("by")
            asked: By = AUTO if isinstance(by, dict) else by
            options = BarOptions.from_dict(made)
            return cls(options, TradeColumns(**names), check_by(asked), _schema(checkpoint))
        except CheckpointError:
            raise
        except Exception as error:
            msg = f"the checkpoint's options make no processor: {error}"
            raise CheckpointError(msg) from error

    def keys(self, checkpoint: _internal.Checkpoint, by: list[str] | None) -> pl.DataFrame | None:
        """
        The keys in a checkpoint, where there are key columns.

        Raises
        ------
        rangebar_polars.exceptions.CheckpointError
            If they do not go with the schema.
        """
        schema = self.schema or pl.Schema()
        if (checkpoint.keys is None) != (by is None):
            msg = "the checkpoint has keys without key columns, or key columns without keys"
            raise CheckpointError(msg)
        if checkpoint.keys is None or by is None:
            return None
        wanted = pl.Schema({name: schema[name] for name in by})
        plain: Any = json.loads(checkpoint.keys)
        keys = unpack(plain) if checkpoint.version == 1 else _keys(plain, wanted)
        if keys.schema != wanted:
            msg = f"the checkpoint's keys are {keys.schema}, where its schema has {wanted}"
            raise CheckpointError(msg)
        return keys


def _keys(plain: Any, schema: pl.Schema) -> pl.DataFrame:
    columns = cast("list[Any]", plain) if isinstance(plain, list) else []
    if len(columns) != len(schema):
        msg = f"the checkpoint's keys are not a list of {len(schema)} columns"
        raise CheckpointError(msg)
    series = [
        column_from_plain(name, values, dtype)
        for (name, dtype), values in zip(schema.items(), columns, strict=True)
    ]
    if len({len(column) for column in series}) > 1:
        msg = "the checkpoint's key columns have different lengths"
        raise CheckpointError(msg)
    return pl.DataFrame(series)


def _schema(checkpoint: _internal.Checkpoint) -> pl.Schema | None:
    if checkpoint.schema is None:
        return None
    plain: Any = json.loads(checkpoint.schema)
    return unpack(plain).schema if checkpoint.version == 1 else schema_from_plain(plain)
