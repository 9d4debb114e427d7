"""``python -m rangebar_polars.cli``: the command where no script was installed."""

from __future__ import annotations

import sys

from rangebar_polars.cli.app import main

sys.exit(main())
