"""`python -m orchestrator` is `iid`, whose script starts here too.

The first thing is to handle Ctrl-C: what follows imports for seconds.
"""

from orchestrator.cli import interrupts


def main() -> None:
    """Run the command line."""
    interrupts.install()
    from orchestrator.cli.app import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
