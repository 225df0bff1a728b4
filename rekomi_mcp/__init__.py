"""rekomi-mcp: an affiliate program that is run by talking to it."""

__version__ = "0.1.0"
