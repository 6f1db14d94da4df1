import subprocess
import sys

HEAVY = ("torch", "ray", "pandas", "pyarrow.dataset")

PROGRAM = f"""
import sys
import orchestrator.planning.cost_estimates, orchestrator.planning.imported_sets
import orchestrator.planning.ready_queue, orchestrator.planning.request
from orchestrator.planning.cost_estimates import estimate_costs
from orchestrator.planning.plan import make_plan
from search_spaces.load import load_space
estimate_costs(make_plan(load_space("quickstart")), gpu=False)
print(*[name for name in {HEAVY} if name in sys.modules])
"""


def test_planning_imports_nothing_that_takes_long():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stderr
