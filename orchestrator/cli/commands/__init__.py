"""The commands of `iid`, one module each."""
