"""Run one job in this process and print its measurement: ``python -m benches.worker JOB``."""

from __future__ import annotations

import sys
import time

from benches.contenders import load
from benches.jobs import Job, Measurement
from examples.memory import peak_memory_mb


def main(argv: list[str]) -> None:
    """Run the job in ``argv[1]``.

    Parameters
    ----------
    argv
        The program's name, and a job as JSON.
    """
    job = Job.from_json(argv[1])
    contender = load(job)
    import_mb = peak_memory_mb()
    started, cpu_started = time.perf_counter(), time.process_time()
    contender.run()
    seconds = time.perf_counter() - started
    cpu_seconds = time.process_time() - cpu_started
    peak_mb = peak_memory_mb()
    bars = contender.bars()
    if job.out is not None and bars is not None:
        bars.write_parquet(job.out)
    count = 0 if bars is None else bars.height
    print(Measurement(seconds, cpu_seconds, peak_mb, import_mb, count).to_json())


if __name__ == "__main__":
    main(sys.argv)
