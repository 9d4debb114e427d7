"""What `normalize` and `scan_trades` do: which column is what, and how it is read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, TypeVar

import polars as pl
from polars.exceptions import ColumnNotFoundError, DuplicateError

from rangebar_polars._parse_times import time_expr
from rangebar_polars._parse_values import (
    filled_expr,
    flag_expr,
    id_expr,
    number_expr,
    side_expr,
)
from rangebar_polars._vendors import (
    BY_HAND,
    ROLES,
    VENDORS,
    InputTimeUnit,
    Resolution,
    Role,
    Vendor,
)
from rangebar_polars.columns import AUTO, Auto

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["Column", "NormalizeOptions", "Normalizer", "normalizer"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
Column: TypeAlias = "str | Auto | None"
_IDS: Final[tuple[Role, ...]] = ("agg_trade_id", "first_trade_id", "last_trade_id")
_REQUIRED: Final[tuple[Role, ...]] = ("timestamp", "price", "quantity")


def _texts(values: Sequence[str | int] | None) -> tuple[str, ...] | None:
    if values is None:
        return None
    one = [values] if isinstance(values, str) else values
    return tuple(str(value) for value in one)


@dataclass(frozen=True)
class Normalizer:
    """
    The options of :func:`normalize`, checked, for whoever applies them.

    Attributes
    ----------
    vendor
        Name of the vendor.
    names
        For each role the column's name, AUTO or None. One that is missing is AUTO.
    sells, buys, side_of, other_side, time_unit, time_format, resolution
        As for :func:`normalize`.
    from_csv
        Whether a null is a field that its line lacks: Polars reads a line that is cut off as one
        with nulls.
    """

    vendor: str | None
    names: Mapping[Role, Column]
    sells: tuple[str, ...] | None = None
    buys: tuple[str, ...] | None = None
    side_of: Literal["taker", "maker"] | None = None
    other_side: Literal["error", "null"] = "error"
    time_unit: InputTimeUnit | None = None
    time_format: str | None = None
    resolution: Resolution | None = None
    from_csv: bool = False

    def __post_init__(self) -> None:
        if self.vendor is not None and self.vendor not in VENDORS:
            near = difflib.get_close_matches(str(self.vendor), VENDORS, 1)
            hint = f", did you mean '{near[0]}'" if near else ""
            msg = f"unknown vendor {self.vendor!r}{hint}; there are {', '.join(VENDORS)}"
            raise ValueError(msg)
        for name, value, allowed in (
            ("side_of", self.side_of, (None, "taker", "maker")),
            ("other_side", self.other_side, ("error", "null")),
            ("time_unit", self.time_unit, (None, "s", "ms", "us", "ns")),
            ("resolution", self.resolution, (None, "us", "ns")),
        ):
            if value not in allowed:
                known = ", ".join(repr(one) for one in allowed if one is not None)
                msg = f"{name} must be one of {known}, got {value!r}"
                raise ValueError(msg)
        for role, name in self.names.items():
            if not (name is None or isinstance(name, (str, Auto))):  # pyright: ignore[reportUnnecessaryIsInstance]
                msg = f"{role} must be a column name or None, got {name!r}"
                raise TypeError(msg)
        both = set(self._sides[0]) & set(self._sides[1])
        if both:
            msg = f"{min(both)!r} is both in sells and in buys"
            raise ValueError(msg)

    @property
    def _rules(self) -> Vendor:
        return BY_HAND if self.vendor is None else VENDORS[self.vendor]

    @property
    def _sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        rules = self._rules
        sells = rules.sells if self.sells is None else self.sells
        buys = rules.buys if self.buys is None else self.buys
        return sells, buys

    def roles(self, columns: Sequence[str]) -> dict[Role, str]:
        """
        Which of these columns plays which role.

        Raises
        ------
        polars.exceptions.ColumnNotFoundError
            If one is missing that must be there.
        ValueError
            If one was given two roles.
        """
        found: dict[Role, str] = {}
        for role in ROLES:
            name = self.names.get(role, AUTO)
            if isinstance(name, str):
                if name not in columns:
                    raise _missing(role, name, columns)
                found[role] = name
            elif name is AUTO:
                known = self._rules.columns.get(role, ())
                there = [name for name in known if name in columns]
                if there:
                    found[role] = there[0]
                elif role in _REQUIRED:
                    raise _missing(role, known[0], columns)
        given: list[Role] = [role for role in ROLES if isinstance(self.names.get(role), str)]
        owners: dict[str, Role] = {}
        for role in given:
            if owners.setdefault(found[role], role) != role:
                other = owners[found[role]]
                msg = f"column {found[role]!r} cannot be both the {other} and the {role}"
                raise ValueError(msg)
        if "side" in given and "is_buyer_maker" in given:
            msg = "side and is_buyer_maker say the same thing: name one of them"
            raise ValueError(msg)
        # What was named goes before what was found.
        found = {role: name for role, name in found.items() if owners.get(name, role) == role}
        if "side" in given:
            found.pop("is_buyer_maker", None)
        elif "is_buyer_maker" in found:
            found.pop("side", None)
        if any(role in found for role in _IDS) and "trade_id" not in given:
            found.pop("trade_id", None)
        return found

    def csv_dtypes(self, columns: Sequence[str]) -> dict[str, pl.DataType]:
        """
        What the columns of a CSV file are to be read as: a role decides, never the first rows.

        What plays no role stays text, so that a symbol keeps its zeros. So do times and sides,
        which `apply` reads.
        """
        dtypes: dict[str, pl.DataType] = dict.fromkeys(columns, pl.String())
        for role, name in self.roles(columns).items():
            if role == "quantity" or (role == "price" and self._rules.price_decimals is None):
                dtypes[name] = pl.Float64()
            elif role in {"trade_id", *_IDS}:
                dtypes[name] = pl.Int64()
        return dtypes

    def apply(self, frame: Frame) -> Frame:
        """Normalize a frame; see :func:`normalize`."""
        if not isinstance(frame, (pl.DataFrame, pl.LazyFrame)):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"trades must be a polars LazyFrame or DataFrame, got {type(frame).__name__}"
            raise TypeError(msg)
        schema = frame.collect_schema()
        roles = self.roles(schema.names())
        by_column: dict[str, Role] = {name: role for role, name in roles.items()}
        # Each column stays in its place: to move columns costs a step behind the scan, in which
        # row groups pile up.
        columns = [
            column
            for name in schema
            for column in (
                self._converted(by_column[name], name, schema[name])
                if name in by_column
                else {name: pl.col(name)}
            ).items()
        ]
        twice = _repeated(name for name, _ in columns)
        if twice is not None:
            msg = (
                f"column '{twice}' is already there, and is not the column that becomes it; "
                f"rename or drop it first, or name it with {twice}='{twice}'"
            )
            raise DuplicateError(msg)
        if all(column.meta == pl.col(name).meta for name, column in columns):
            return frame
        return frame.select(column.alias(name) for name, column in columns)

    def _converted(self, role: Role, name: str, dtype: pl.DataType) -> dict[str, pl.Expr]:
        rules = self._rules
        if role == "timestamp":
            units = rules.time_units if self.time_unit is None else (self.time_unit,)
            finest = "ns" if self.time_unit == "ns" else rules.resolution
            column = time_expr(
                name,
                dtype,
                units=units,
                resolution=self.resolution or finest,
                time_format=self.time_format,
            )
            return {"timestamp": column}
        if role == "price":
            return {role: number_expr(name, dtype, rules.price_decimals, rules.price_missing)}
        if role == "quantity":
            return {role: number_expr(name, dtype)}
        if role == "side":
            sells, buys = self._sides
            column = side_expr(
                name,
                dtype,
                sells=sells,
                buys=buys,
                of_maker=(self.side_of or rules.side_of) == "maker",
                other_is_null=self.other_side == "null",
            )
            return {"is_buyer_maker": column}
        if role == "is_buyer_maker":
            return {role: flag_expr(name, dtype)}
        if role == "trade_id":
            return dict.fromkeys(_IDS, id_expr(name, dtype))
        if role == "symbol":
            # Whoever makes bars refuses nulls elsewhere, but a key may be null.
            return {role: filled_expr(name, dtype) if self.from_csv else pl.col(name)}
        return {role: id_expr(name, dtype)}


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


_LIKELY: Final[Mapping[str, tuple[str, ...]]] = {
    "timestamp": ("time", "date", "ts", "stamp"),
    "price": ("price", "px", "rate"),
    "quantity": ("quantity", "qty", "size", "amount", "volume", "sz", "vol"),
    "side": ("side", "direction"),
    "is_buyer_maker": ("maker",),
    "trade_id": ("id",),
    "symbol": ("symbol", "ticker", "instrument", "pair"),
}


def likely_column(role: str, wanted: str, columns: Sequence[str]) -> str | None:
    """The column that was most likely meant, to be named in an error and never used unasked."""
    near = difflib.get_close_matches(wanted, columns, 1, cutoff=0.75)
    if near:
        return near[0]
    plain = {name: re.sub(r"[^a-z]", "", name.lower()) for name in columns}
    for word in _LIKELY.get(role, ()):
        for name, text in plain.items():
            if text == word or (len(word) > 2 and word in text):
                return name
    near = difflib.get_close_matches(wanted, columns, 1)
    return near[0] if near else None


def _missing(role: Role, wanted: str, columns: Sequence[str]) -> ColumnNotFoundError:
    likely = likely_column(role, wanted, columns)
    hint = f"{role}='{likely}'" if likely else f"{role}='...'"
    off = f", or {role}=None to do without" if role in {"timestamp", "quantity"} else ""
    have = ", ".join(f"'{name}'" for name in columns)
    msg = f"column '{wanted}' not found: name the {role} with {hint}{off} (the columns are {have})"
    return ColumnNotFoundError(msg)


class NormalizeOptions(TypedDict, total=False):
    """The keywords of :func:`normalize`, for whoever passes them on."""

    timestamp: Column
    price: Column
    quantity: Column
    side: Column
    sells: Sequence[str | int] | None
    buys: Sequence[str | int] | None
    side_of: Literal["taker", "maker"] | None
    other_side: Literal["error", "null"]
    is_buyer_maker: Column
    trade_id: Column
    agg_trade_id: Column
    first_trade_id: Column
    last_trade_id: Column
    symbol: Column
    time_unit: InputTimeUnit | None
    time_format: str | None
    resolution: Resolution | None


def normalizer(vendor: str | None = None, **options: Unpack[NormalizeOptions]) -> Normalizer:
    """A `Normalizer` of the keywords of :func:`normalize`."""
    given: dict[str, Any] = {**options}
    unknown = given.keys() - NormalizeOptions.__annotations__.keys()
    if unknown:
        msg = f"unknown keyword {min(unknown)!r}"
        raise TypeError(msg)
    names: dict[Role, Column] = {role: given.pop(role) for role in ROLES if role in given}
    for sides in ("sells", "buys"):
        given[sides] = _texts(given.get(sides))
    return Normalizer(vendor, names, **given)
