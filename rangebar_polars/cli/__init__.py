"""The command ``rangebar``."""

from __future__ import annotations

from rangebar_polars.cli.app import main

__all__ = ["main"]
