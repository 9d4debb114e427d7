"""Trades of other libraries, in their own frames: the bars are those of the Polars frame."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import rangebar_polars as rb
from tests.support.compare import assert_same_bits
from tests.support.trades import walk

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
duckdb = pytest.importorskip("duckdb")

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"by": None},
    {"incomplete": "keep", "max_gap": "100us"},
    {"by": ["symbol", "is_buyer_maker"], "columns": {"quantity": None, "is_buyer_maker": None}},
)


class OnlyArrow:
    """A library that nobody has heard of, with the interface and nothing else."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def in_batches(trades: pl.DataFrame, rows: int) -> Any:
    table = trades.to_arrow()
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=rows))


def dictionaries_that_differ(trades: pl.DataFrame) -> Any:
    """Every batch with symbols of its own numbering, as Arrow's writers make them."""
    parts = [trades[:100], trades[100:130], trades[130:]]
    batches: list[Any] = []
    for part in parts:
        table = part.to_arrow()
        at = table.schema.get_field_index("symbol")
        encoded = table.column(at).cast(pa.string()).combine_chunks().dictionary_encode()
        table = table.set_column(at, "symbol", encoded)
        batches.extend(table.combine_chunks().to_batches())
    return pa.RecordBatchReader.from_batches(batches[0].schema, batches)


PRODUCERS: dict[str, Any] = {
    "pyarrow Table": lambda trades: trades.to_arrow(),
    "pyarrow Table of chunks": lambda trades: pa.concat_tables(
        [trades[:7].to_arrow(), trades[7:].to_arrow()]
    ),
    "pyarrow RecordBatch": lambda trades: trades.to_arrow().combine_chunks().to_batches()[0],
    "pyarrow reader, rows one by one": lambda trades: in_batches(trades, 1),
    "pyarrow reader": lambda trades: in_batches(trades, 97),
    "pandas": lambda trades: pd.DataFrame(
        {name: trades[name].to_numpy() for name in trades.columns}
    ).astype({"symbol": "str"}),
    "pandas, of Arrow types": lambda trades: trades.to_pandas(use_pyarrow_extension_array=True),
    "DuckDB": lambda trades: duckdb.connect().from_arrow(trades.to_arrow()),
    "anything": lambda trades: OnlyArrow(trades.to_arrow()),
    "anything lazy": lambda trades: OnlyArrow(in_batches(trades, 50)),
}


@pytest.mark.parametrize("producer", PRODUCERS)
def test_bars_of_any_frame_are_those_of_the_polars_frame(producer: str) -> None:
    trades = walk(400)
    for options in OPTIONS:
        for rule in (250, [1000, "0.1%"]):
            expected = rb.range_bars(trades, rule, **options)
            bars = rb.range_bars(PRODUCERS[producer](trades), rule, **options)
            assert expected.height > 20
            assert isinstance(bars, pl.DataFrame)
            # Other libraries may have only one kind of text.
            texts = pl.col(pl.String, pl.Categorical).cast(pl.String)
            assert_same_bits(bars.with_columns(texts), expected)


def test_keys_in_dictionaries_that_differ_from_batch_to_batch() -> None:
    trades = walk(400)
    for options in (OPTIONS[0], OPTIONS[2]):
        expected = rb.range_bars(trades, 250, **options)
        bars = rb.range_bars(dictionaries_that_differ(trades), 250, **options)
        assert_same_bits(bars.with_columns(pl.col("symbol").cast(pl.String)), expected)
        processor = rb.RangeBarProcessor(250, **options)
        pushed = processor.push(dictionaries_that_differ(trades))
        pushed = pl.concat([pushed, processor.finish()])
        assert_same_bits(pushed.with_columns(pl.col("symbol").cast(pl.String)), expected)


def test_columns_of_other_types_are_what_they_are_in_polars() -> None:
    trades = walk(400).drop("symbol")
    table = trades.to_arrow()
    decimals = table.set_column(1, "price", table.column("price").cast(pa.decimal128(18, 2)))
    floats = table.set_column(2, "quantity", table.column("quantity").cast(pa.float32()))
    zoned = table.set_column(
        0, "timestamp", table.column("timestamp").cast(pa.timestamp("ns", tz="Asia/Tokyo"))
    )
    for changed in (decimals, floats, zoned):
        frame: Any = pl.from_arrow(changed)
        assert_same_bits(rb.range_bars(changed, 250), rb.range_bars(frame, 250))


def test_a_bad_trade_is_named_by_its_row_in_the_stream() -> None:
    trades = walk(400).with_columns(
        price=pl.when(pl.int_range(400) == 321).then(-1.0).otherwise("price")
    )
    for producer in ("pyarrow Table", "pyarrow reader", "pyarrow reader, rows one by one"):
        with pytest.raises(rb.InvalidTradeError, match="column 'price', row 321: "):
            rb.range_bars(PRODUCERS[producer](trades), 250)


def test_an_error_of_the_producer_is_not_the_end_of_the_stream() -> None:
    def failing() -> Any:
        yield from walk(100).to_arrow().to_batches(max_chunksize=50)
        raise ValueError("the cable is out")

    reader = pa.RecordBatchReader.from_batches(walk(1).to_arrow().schema, failing())
    with pytest.raises(Exception, match="the cable is out"):
        rb.range_bars(reader, 250)


def test_what_is_missing_is_named() -> None:
    table = walk(10).drop("price").to_arrow()
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="'price' not found"):
        rb.range_bars(table, 250)
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="'venue' not found"):
        rb.range_bars(walk(10).to_arrow(), 250, by="venue")


NOT_TRADES: dict[str, tuple[Any, str]] = {
    "a dictionary": ({"price": [1.0]}, "got dict"),
    "a list": ([1.0], "got list"),
    "a path": ("trades.parquet", r"got str; scan a file first: pl\.scan_parquet\(path\)"),
    "a column": (pl.col("price"), "got Expr"),
    "nothing": (None, "got NoneType"),
}


@pytest.mark.parametrize("kind", NOT_TRADES)
def test_what_is_not_a_frame_at_all(kind: str) -> None:
    given, says = NOT_TRADES[kind]
    with pytest.raises(TypeError, match=f"must be a polars frame or have the Arrow .*{says}"):
        rb.range_bars(given, 250)
    with pytest.raises(TypeError, match=f"must be a polars frame or have the Arrow .*{says}"):
        rb.with_bar_id(given, 250)
    with pytest.raises(TypeError, match=says):
        rb.RangeBarProcessor(250).push(given)


def test_ids_go_to_polars_frames() -> None:
    table: Any = walk(10).to_arrow()
    with pytest.raises(TypeError, match=r"polars frame; make one with pl\.DataFrame\("):
        rb.with_bar_id(table, 250)


def test_a_stream_of_no_batches_has_columns_all_the_same() -> None:
    trades = walk(10).clear()
    schema = trades.to_arrow().schema
    for nothing in (trades.to_arrow(), pa.RecordBatchReader.from_batches(schema, [])):
        assert_same_bits(rb.range_bars(nothing, 250), rb.range_bars(trades, 250))
    without = schema.remove(schema.get_field_index("price"))
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="'price' not found"):
        rb.range_bars(pa.RecordBatchReader.from_batches(without, []), 250)
    processor = rb.RangeBarProcessor(250)
    bars = processor.push(pa.RecordBatchReader.from_batches(schema, []))
    assert_same_bits(bars, rb.range_bars(trades, 250))


def test_a_stream_of_values_without_columns_is_refused() -> None:
    values: Any = pl.Series("price", [1.0, 2.0])
    with pytest.raises(rb.RangeBarError, match="must have columns"):
        rb.range_bars(values, 250)
