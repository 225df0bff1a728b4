"""`python -m rekomi_mcp` is `rekomi-mcp`."""

from rekomi_mcp.cli import main

raise SystemExit(main())
