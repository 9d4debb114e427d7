"""What a push tells about the trades it was given."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PushReport"]


@dataclass(frozen=True)
class PushReport:
    """
    How the trades of one push followed those before it.

    Attributes
    ----------
    rows : int
        Trades looked at.
    skipped : int
        Trades left out because they were there before (`on_overlap="skip"`).
    missing : int
        Aggregate trade ids that no trade came for.
    gaps : int
        How often ids are missing, neighbours counted once.
    first_gap : tuple of int, or None
        Row of the first trade after a gap, counted from the start of the stream, and the ids
        before and after the gap.
    """

    rows: int = 0
    skipped: int = 0
    missing: int = 0
    gaps: int = 0
    first_gap: tuple[int, int, int] | None = None

    @property
    def is_contiguous(self) -> bool:
        """Whether nothing is missing and nothing came again."""
        return self.missing == 0 and self.skipped == 0

    def __add__(self, other: PushReport) -> PushReport:
        return PushReport(
            self.rows + other.rows,
            self.skipped + other.skipped,
            self.missing + other.missing,
            self.gaps + other.gaps,
            self.first_gap or other.first_gap,
        )
