"""What `scripts/bench` runs: the parts, what they are measured beside, and the report."""
