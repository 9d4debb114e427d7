"""How much of a Parquet file is in flight while bars are made.

Polars prefetches up to hundreds of row groups, which is what makes a scan of a large file take
hundreds of megabytes. One row group for each thread keeps all threads as busy, in a fraction of the
memory. Polars has no option for it but an environment variable, read when a query starts, so it is
set while one of our streams runs, and never where the user has set it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import polars as pl

__all__ = ["VARIABLE", "bounded_prefetch"]

VARIABLE: Final = "POLARS_ROW_GROUP_PREFETCH_SIZE"

_lock = threading.Lock()
_streams = 0
_ours = False


@contextmanager
def bounded_prefetch() -> Generator[None, None, None]:
    """Bound what queries that start meanwhile have in flight."""
    global _streams, _ours  # noqa: PLW0603 - the environment is one for all, so is the count
    with _lock:
        _streams += 1
        if VARIABLE not in os.environ:
            os.environ[VARIABLE] = str(max(2, pl.thread_pool_size()))
            _ours = True
    try:
        yield
    finally:
        with _lock:
            _streams -= 1
            if _streams == 0 and _ours:
                os.environ.pop(VARIABLE, None)
                _ours = False
