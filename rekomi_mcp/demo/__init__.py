"""The owner's story, played against real server processes: `rekomi-mcp demo`."""
