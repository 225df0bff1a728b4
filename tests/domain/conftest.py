"""How hard hypothesis tries in this folder: modestly, and without a clock, for machines that do other things too."""

from hypothesis import settings

settings.register_profile("modest", settings(max_examples=60, deadline=None))
settings.load_profile("modest")
