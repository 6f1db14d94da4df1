"""Tables of a report: pure functions from results to rows."""
