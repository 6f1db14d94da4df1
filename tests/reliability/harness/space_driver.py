"""Launch a space with frequent checkpoints, in a process of its own: `python space_driver.py SPACE
STORE DATA`.
"""

import sys
from pathlib import Path

from rich.console import Console

from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.summary import print_summary
from orchestrator.planning.plan import make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.store.open import open_store
from search_spaces.load import load_space

if __name__ == "__main__":
    space, store, data = sys.argv[1:]
    opened = open_store(Path(store))
    options = RunOptions(data_root=Path(data), checkpoint_seconds=0.1, tensorboard=False)
    work = find_pending(make_plan(load_space(space)), opened.find_done_keys())
    summary = launch(work, opened, options, space=space)
    print_summary(summary, Console())
    sys.exit(summary.exit_code)
