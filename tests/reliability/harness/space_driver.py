"""Launch a space with frequent checkpoints, in a process of its own: `python space_driver.py SPACE
STORE DATA`.
"""

import sys
from pathlib import Path

from rich.console import Console

from orchestrator.launch.launch import launch, show
from orchestrator.planning.plan import make_plan
from orchestrator.store.store import Store
from search_spaces.load import load_space

if __name__ == "__main__":
    space, store, data = sys.argv[1:]
    summary = launch(
        make_plan(load_space(space)),
        store=Store(Path(store)),
        data_root=Path(data),
        space=space,
        checkpoint_seconds=0.1,
        tensorboard=False,
    )
    show(summary, Console())
    sys.exit(summary.exit_code)
