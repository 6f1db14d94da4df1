"""`python -m orchestrator` is `iid`."""

from orchestrator.cli.app import main

if __name__ == "__main__":
    main()
