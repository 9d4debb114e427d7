"""How to get at the archive: keywords of every function that reads it, checked at the call."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, get_args

from rangebar_polars.sources.binance.files import ARCHIVE_URL, Feed
from rangebar_polars.store import TradeStore

if TYPE_CHECKING:
    from httpx import Client
else:  # an extra, and not needed to plan
    Client = Any

__all__ = ["ARCHIVE_DEFAULTS", "Access", "ArchiveKeywords", "Missing", "resolve_access"]

Missing: TypeAlias = Literal["error", "skip"]


class ArchiveKeywords(TypedDict, total=False):
    """Keywords of `scan_binance` that every function reading the archive passes on."""

    store: TradeStore | None
    missing: Missing
    recent: bool
    checksum: bool
    revalidate: bool
    base_url: str
    rest_url: str | None
    client: Client | None
    retries: int
    backoff_s: float
    progress: bool


@dataclass(frozen=True)
class Access:
    """How to get at the archive: everything but what is asked for."""

    store: TradeStore
    missing: Missing = "error"
    recent: bool = False
    checksum: bool = True
    revalidate: bool = True
    base_url: str = ARCHIVE_URL
    rest_url: str | None = None
    client: Client | None = None
    retries: int = 6
    backoff_s: float = 0.5
    progress: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.store, TradeStore):  # pyright: ignore[reportUnnecessaryIsInstance]
            _refuse("store", "a TradeStore, such as TradeStore('folder')", self.store)
        if self.missing not in get_args(Missing):
            msg = f"missing must be 'error' or 'skip', got {self.missing!r}"
            raise ValueError(msg)
        for name in ("recent", "checksum", "revalidate", "progress"):
            value: object = getattr(self, name)
            if not isinstance(value, bool):
                _refuse(name, "True or False", value)
        for name in ("base_url", "rest_url"):
            url: object = getattr(self, name)
            if url is not None and not isinstance(url, str):
                _refuse(name, "a URL as text", url)
            if url is not None and not str(url).startswith(("http://", "https://")):
                msg = f"{name} must begin with 'https://' or 'http://', got {url!r}"
                raise ValueError(msg)
        if self.client is not None and not hasattr(self.client, "stream"):
            _refuse("client", "an httpx.Client", self.client)
        if isinstance(self.retries, bool) or not hasattr(self.retries, "__index__"):
            _refuse("retries", "a whole number", self.retries)
        if operator.index(self.retries) < 0:
            msg = f"retries must not be negative, got {self.retries}"
            raise ValueError(msg)
        if isinstance(self.backoff_s, bool) or not isinstance(self.backoff_s, Real):
            _refuse("backoff_s", "a number of seconds", self.backoff_s)
        if not (math.isfinite(self.backoff_s) and self.backoff_s >= 0):
            msg = f"backoff_s must be a number of seconds from 0 up, got {self.backoff_s}"
            raise ValueError(msg)


ARCHIVE_DEFAULTS: Final[dict[str, Any]] = {
    "store": None,
    **{field.name: field.default for field in fields(Access) if field.name != "store"},
}
"""Defaults of `ArchiveKeywords`."""


def resolve_access(keywords: ArchiveKeywords, feed: Feed) -> Access:
    """Check the keywords and fill in the defaults.

    Raises
    ------
    TypeError
        A value of the wrong type.
    ValueError
        A value that is not allowed.
    """
    given: dict[str, Any] = dict(keywords)
    store = given.pop("store", None)
    access = Access(TradeStore() if store is None else store, **given)
    if access.recent and feed.kind != "aggTrades":
        msg = "recent=True works for kind='aggTrades' only: single trades need an account"
        raise ValueError(msg)
    return access


def _refuse(name: str, wanted: str, value: object) -> None:
    msg = f"{name} must be {wanted}, got {value!r}"
    raise TypeError(msg)
