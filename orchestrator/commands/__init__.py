"""What the commands of `iid` do and print; `orchestrator.cli` declares their arguments."""
