"""Launch the harness's plan in a process of its own, which a test can kill.

`python driver.py STORE DATA [SETS [EVALUATIONS]]`
"""

import sys
from pathlib import Path

from plans import make_small_plan
from rich.console import Console

from orchestrator.launch.launch import launch, show
from orchestrator.store.open import open_store

if __name__ == "__main__":
    store, data, *sizes = sys.argv[1:]
    summary = launch(
        make_small_plan(**dict(zip(("sets", "evaluations"), map(int, sizes), strict=False))),
        store=open_store(store),
        data_root=Path(data),
        space="small",
        runner="fake_runner:run_unit",
        checkpoint_seconds=0.05,
        tensorboard=False,
    )
    show(summary, Console())
    sys.exit(summary.exit_code)
