"""What is measured: one program on one file with one set of options, as data.

A job travels to its process, and a measurement back, as one line of JSON. The process of the peer
library runs another Python without this project's packages, so this module needs nothing but the
standard library.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

#: What a bar with volume and sides needs; "four columns" in the tables.
FOUR = ("timestamp", "price", "quantity", "is_buyer_maker")
#: All that an aggregate trade carries; "seven columns" in the tables.
SEVEN = (*FOUR, "agg_trade_id", "first_trade_id", "last_trade_id")


@dataclass(frozen=True)
class Job:
    """One run of one contender.

    Attributes
    ----------
    contender
        A key of `benches.contenders.CONTENDERS`, or ``"opendeviationbar"``.
    paths
        Parquet files, read in this order.
    columns
        The trade columns to read.
    thresholds
        Decimal basis points.
    by
        The key column, if any.
    sleep_ms
        How long the consumer of the bars sleeps after each batch.
    out
        Where to leave the bars for the comparison; not at all where None.
    """

    contender: str
    paths: tuple[str, ...]
    columns: tuple[str, ...] = FOUR
    thresholds: tuple[int, ...] = (250,)
    by: str | None = None
    sleep_ms: int = 0
    out: str | None = None

    def to_json(self) -> str:
        """Return the job as one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        """Return the job that `to_json` wrote."""
        fields = json.loads(text)
        for name in ("paths", "columns", "thresholds"):
            fields[name] = tuple(fields[name])
        return Job(**fields)


@dataclass(frozen=True)
class Measurement:
    """What one run took.

    Attributes
    ----------
    seconds
        Wall time of the run alone: without starting Python, importing, and compiling.
    cpu_seconds
        Processor time of all threads in that time.
    peak_mb
        The process's largest resident size up to the end of the run, in 10**6 bytes.
    import_mb
        The same when all was imported and nothing had run.
    bars
        How many bars came out; 0 for programs that make none.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    import_mb: float
    bars: int

    def to_json(self) -> str:
        """Return the measurement as one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Measurement:
        """Return the measurement that `to_json` wrote."""
        return Measurement(**json.loads(text))
