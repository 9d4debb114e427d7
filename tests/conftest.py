"""Settings that every test of this suite shares."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A worker of pytest-xdist is told a width of 80, and the command line's tables follow it.
os.environ.pop("COLUMNS", None)

# No deadline: a busy machine must never fail a test. `HYPOTHESIS_PROFILE=thorough` looks longer.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
