"""Test suite of rangebar_polars."""
