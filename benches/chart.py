"""Throughput and memory against the number of trades, as SVG and PNG."""

# Altair's methods are only partly typed.
# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import altair as alt
import polars as pl

from benches.datasets import ROW_GROUP
from benches.jobs import FOUR
from benches.report import Outcome

_NAMES = {
    "scan": "bare scan (the limit)",
    "streaming": "rangebar_polars, streaming",
    "expression": "rangebar_polars, expression",
    "numba": "numba loop over collected columns",
    "polars slices": "Polars, one bar at a time",
    "opendeviationbar": "opendeviationbar 12.39.0",
}
# Told apart without colour vision as well (Okabe and Ito).
_COLORS = ["#999999", "#0072b2", "#56b4e9", "#e69f00", "#cc79a7", "#d55e00"]


def points(outcomes: Sequence[Outcome]) -> pl.DataFrame:
    """Pick the measurements that differ in nothing but contender and size.

    Parameters
    ----------
    outcomes
        All measurements of this run.

    Returns
    -------
    polars.DataFrame
        Columns ``contender``, ``trades``, ``throughput`` (million trades a second), ``peak_mb``.
    """
    rows: list[tuple[str, int, float, float]] = []
    for outcome in outcomes:
        if outcome.workload.name not in ("main", "sizes"):
            continue
        for case in outcome.workload.cases:
            series = outcome.series.get(case.label)
            is_plain = case.columns == FOUR and case.data.row_group == ROW_GROUP
            if series is None or not is_plain or (case.contender == "scan" and not case.like_ours):
                continue
            throughput = case.data.rows / series.seconds / 1e6
            rows.append((_NAMES[case.contender], case.data.rows, throughput, series.peak_mb))
    return pl.DataFrame(
        rows, schema=["contender", "trades", "throughput", "peak_mb"], orient="row"
    ).sort("contender", "trades")


def save(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Draw the chart of a run.

    Parameters
    ----------
    outcomes
        All measurements of this run.
    folder
        Where ``benchmarks.svg`` and ``benchmarks.png`` go.

    Returns
    -------
    list of Path
        The files; none if the run holds nothing to draw.
    """
    data = points(outcomes)
    if data.is_empty():
        return []
    base = (
        alt.Chart(data)
        .mark_line(point=alt.OverlayMarkDef(size=60), strokeWidth=2)
        .encode(
            x=alt.X("trades:Q", scale=alt.Scale(type="log"), title="trades").axis(format="~s"),
            color=alt.Color(
                "contender:N",
                scale=alt.Scale(domain=list(_NAMES.values()), range=_COLORS),
                legend=alt.Legend(title=None, orient="bottom", columns=2, labelLimit=320),
            ),
        )
        .properties(width=380, height=300)
    )
    speed = base.encode(y=alt.Y("throughput:Q", title="million trades a second"))
    memory = base.encode(
        y=alt.Y("peak_mb:Q", scale=alt.Scale(type="log"), title="peak memory of the process, MB")
    )
    chart = alt.hconcat(
        speed.properties(title="Speed: higher is better"),
        memory.properties(title="Memory: lower is better"),
    )
    paths = [folder / "benchmarks.svg", folder / "benchmarks.png"]
    for path in paths:
        chart.save(str(path), scale_factor=2.0 if path.suffix == ".png" else 1.0)
    return paths
