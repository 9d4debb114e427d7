"""Values come back bit for bit, or are refused."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rangebar_polars.exceptions import InvalidTradeError, RangeBarError
from rangebar_polars.store.grid import Grid, decode, encode, rescale


def batch(prices: list[float]) -> pl.DataFrame:
    return pl.DataFrame({"price": prices}, schema={"price": pl.Float64})


def back(encoded: pl.DataFrame) -> list[float]:
    return encoded.lazy().select(decode(["price"])).collect()["price"].to_list()


@given(
    st.integers(0, 8).flatmap(
        lambda decimals: st.lists(
            st.integers(1, 2**53).map(lambda units: float(Decimal(units).scaleb(-decimals))),
            min_size=1,
            max_size=30,
        )
    )
)
def test_decimals_come_back_as_they_were_read(prices: list[float]) -> None:
    # These are exactly the doubles that reading such texts gives; a float with 8 decimals in
    # general has no place on the grid once it is large, and then is refused, never changed.
    try:
        encoded = encode(batch(prices), Grid(), 0)
    except InvalidTradeError as error:
        assert max(prices) * 10**8 >= 2**52
        assert error.value in {str(price) for price in prices}
        return
    assert back(encoded) == prices


def test_every_price_of_eight_decimals_in_a_stretch() -> None:
    units = range(141_557, 141_557 + 7 * 50_000, 7)
    prices = [float(f"{u // 10**8}.{u % 10**8:08d}") for u in units]
    encoded = encode(batch(prices), Grid(), 0)
    assert encoded["price_units"].to_list() == list(units)
    assert back(encoded) == prices


def test_a_single_row_is_divided_as_exactly() -> None:
    price = 0.00141557  # divided by a constant in Polars this comes out one bit off
    assert back(encode(batch([price]), Grid(), 0)) == [price]


@pytest.mark.parametrize(
    ("prices", "divisor"),
    [([1.0, 2.0], 1), ([61837.63, 61837.0], 100), ([0.00141557], 10**8), ([1e11, 2.5], 10)],
)
def test_the_coarsest_divisor_that_is_exact(prices: list[float], divisor: int) -> None:
    encoded = encode(batch(prices), Grid(), 0)
    assert encoded["price_divisor"].unique().to_list() == [divisor]
    assert back(encoded) == prices


def test_a_divisor_never_gets_coarser_within_a_write() -> None:
    grid = Grid()
    encode(batch([0.25]), grid, 0)
    assert encode(batch([3.0]), grid, 0)["price_units"].to_list() == [300]


@pytest.mark.parametrize("bad", [0.1 + 0.2, 1e-9, 123456789.123456789, 1e19])
def test_what_would_change_is_refused(bad: float) -> None:
    with pytest.raises(InvalidTradeError, match="cannot be stored exactly") as raised:
        encode(batch([1.0, 2.5, bad]), Grid(), 40)
    assert (raised.value.column, raised.value.row) == ("price", 42)
    assert raised.value.value == str(bad)


def test_rescale_is_exact_and_refuses_to_wrap() -> None:
    coarse = encode(batch([7.0]), Grid(), 0)
    assert back(rescale(coarse, Grid(8))) == [7.0]
    huge = encode(batch([1e12]), Grid(), 0)
    with pytest.raises(RangeBarError, match="too large and too fine"):
        rescale(huge, Grid(8))
