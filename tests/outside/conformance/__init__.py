"""The MCP project's conformance suite, on the product's own surface and on fixtures behind the same endpoint."""
