"""What "equal" means between two frames of bars."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.testing import assert_frame_equal

__all__ = ["assert_bars_equal", "assert_same_bits"]


def bits(column: pl.Series) -> npt.NDArray[np.int64]:
    """Bits of a Float64 column as integers; positive floats one step apart differ by one."""
    return np.frombuffer(column.fill_null(0.0).to_numpy().tobytes(), dtype=np.int64)


def assert_bars_equal(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Check columns, dtypes, order and values; ``vwap`` may be off by its last bit."""
    assert actual.schema == expected.schema
    assert_frame_equal(
        actual.drop("vwap", strict=False),
        expected.drop("vwap", strict=False),
        check_exact=True,
    )
    if "vwap" in expected.columns:
        left, right = actual["vwap"], expected["vwap"]
        assert (left.is_null() == right.is_null()).all(), "vwap is null in other rows"
        distance = int(np.abs(bits(left) - bits(right)).max(initial=0))
        assert distance <= 1, f"vwap is {distance} floats away"


def assert_same_bits(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Check that two frames are the same in every bit of every column."""
    assert actual.schema == expected.schema
    assert_frame_equal(actual, expected, check_exact=True)
    for left, right in zip(actual, expected, strict=True):
        if left.dtype == pl.Float64:  # so that not even the sign of a zero is lost
            assert np.array_equal(bits(left), bits(right)), f"other bits in {left.name!r}"
