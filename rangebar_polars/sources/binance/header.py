"""Whether a file begins with a header, and whether that names the columns that are expected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rangebar_polars.sources.binance.errors import ArchiveError, BrokenLineError

if TYPE_CHECKING:
    from rangebar_polars.sources.binance.files import ArchiveFile

__all__ = ["without_header"]

_NEWLINE: Final = b"\n"
_SHOWN: Final = 200

_NAMES: Final[dict[str, set[str]]] = {
    "agg_trade_id": {"aggtradeid", "aggregatetradeid", "id", "tradeid"},
    "price": {"price"},
    "quantity": {"quantity", "qty"},
    "first_trade_id": {"firsttradeid"},
    "last_trade_id": {"lasttradeid"},
    "time": {"transacttime", "time", "timestamp"},
    "is_buyer_maker": {"isbuyermaker", "wasthebuyerthemaker"},
    "is_best_match": {"isbestmatch", "wasthetradethebestpricematch"},
    "quote_quantity": {"quotequantity", "quoteqty"},
    "base_quantity": {"basequantity", "baseqty"},
}
"""What the archive calls our columns, in its files and in its documentation: without case, blanks
and underscores, as it writes both ``isBuyerMaker`` and ``is_buyer_maker``."""

_NUMBER: Final = re.compile(r"-?\d+(\.\d*)?")


def without_header(block: bytes, file: ArchiveFile) -> tuple[bytes, int]:
    """Return the first block of a file without its header, and how many lines that had.

    Only a header that is known is one. Anything else might be a damaged trade, and would be lost.

    Raises
    ------
    BrokenLineError
        Where the first line is neither a trade nor a header.
    ArchiveError
        Where it is a header of other columns, or of these in another order.
    """
    head, _, rest = block.partition(_NEWLINE)
    if head[:1].isdigit():
        return block, 0
    text = head.decode("utf-8", "replace").removesuffix("\r")
    cells = text.split(",")
    columns = list(file.feed.csv_columns)
    if len(cells) == len(columns) and all(map(_is_name_of, cells, columns)):
        return rest, 1
    if any(_NUMBER.fullmatch(cell.strip()) for cell in cells):
        raise BrokenLineError(file.name, 1, text, "neither a trade nor a header")
    problem = f"line 1: expected a header with the columns {', '.join(columns)}, got "
    raise ArchiveError(file.name, f"{problem}{text[:_SHOWN]!r}")


def _is_name_of(cell: str, column: str) -> bool:
    return re.sub(r"[\s_]", "", cell).lower() in _NAMES[column]
