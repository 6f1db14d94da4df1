"""Launch the harness's plan in a process of its own, which a test can kill.

`python driver.py STORE DATA [SETS [EVALUATIONS]]`
"""

import sys
from pathlib import Path

from plans import make_small_plan
from rich.console import Console

from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.summary import print_summary
from orchestrator.planning.planned_work import find_pending
from orchestrator.store.open import open_store

if __name__ == "__main__":
    store, data, *sizes = sys.argv[1:]
    plan = make_small_plan(**dict(zip(("sets", "evaluations"), map(int, sizes), strict=False)))
    opened = open_store(store)
    options = RunOptions(
        data_root=Path(data),
        runner="fake_runner:run_unit",
        checkpoint_seconds=0.05,
        tensorboard=False,
    )
    summary = launch(find_pending(plan, opened.find_done_keys()), opened, options, space="small")
    print_summary(summary, Console())
    sys.exit(summary.exit_code)
