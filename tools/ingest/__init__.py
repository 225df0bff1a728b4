"""What verified Stripe events do to the books: one internal operation, and the two halves of its work."""

from rekomi_mcp.tools.ingest.operation import INGEST_STRIPE_EVENTS as INGEST_STRIPE_EVENTS
