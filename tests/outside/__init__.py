"""Outside eyes: programs that others wrote look at the whole server. Each runs by `python -m tests.outside.<name>`."""
