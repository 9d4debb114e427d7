"""How much memory this process has needed so far."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory_mb() -> float:
    """Return the largest resident size that this process has had.

    On Linux this reads ``VmHWM``, which starts anew with each program; ``ru_maxrss`` does not, and
    would report the size of the parent that started a benchmark.

    Returns
    -------
    float
        In MB (10**6 bytes); NaN where the system does not tell.

    Examples
    --------
    >>> peak_memory_mb() > 1
    True
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return _peak_by_rusage()
    return next(
        int(line.split()[1]) * 1.024e-3 for line in status.splitlines() if line.startswith("VmHWM")
    )


def _peak_by_rusage() -> float:
    if sys.platform == "win32":
        return float("nan")
    import resource  # noqa: PLC0415 - Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1.024e-3
