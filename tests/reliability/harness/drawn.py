"""Tries a check on drawn cases, each in a folder of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy


def try_cases(
    count: int, cases: SearchStrategy[Any], tmp_path: Path, check: Callable[[Any, Path], None]
) -> None:
    """Call `check` with each case and a folder for it; quick counts draw the same cases always."""
    numbers = iter(range(10**9))

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=count < 1000,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        database=None,
        report_multiple_bugs=False,
    )
    @given(cases)
    def inner(case: Any) -> None:
        root = tmp_path / str(next(numbers))
        try:
            check(case, root)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    inner()
