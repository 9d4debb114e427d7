"""A short form of `tests.torture.interrupts`: every door, a few signals each."""

from __future__ import annotations

import os
import random

import pytest

from tests.torture.child import DOORS
from tests.torture.interrupts import COMMANDS, Report, command_rounds, library_rounds, world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="sends signals to processes"),
]


def test_signals_leave_nothing_behind() -> None:
    report, rng = Report(), random.Random(11)
    with world(100_000) as (folder, server):
        for door in DOORS:
            library_rounds(door, folder, server.url, 5, rng, report)
        for name in COMMANDS:
            command_rounds(name, folder, server.url, 3, rng, report)
    assert not report.faults, str(report)
    # Enough of them have struck something.
    assert sum(map(len, report.took.values())) > 20, str(report)
