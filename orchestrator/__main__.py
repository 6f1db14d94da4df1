"""`python -m orchestrator` is `iid`."""

from orchestrator.cli import main

main()
