"""`python -m orchestrator` is `iid`."""

from orchestrator.cli import main

if __name__ == "__main__":
    main()
