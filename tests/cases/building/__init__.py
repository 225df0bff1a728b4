"""Stripe cases told as short stories: `python -m tests.cases.building` writes them to `tests/cases/own/`."""
