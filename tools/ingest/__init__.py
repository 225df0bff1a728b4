"""What verified news of sales and reversals does to the books: one internal operation, and the parts of its work."""

from rekomi_mcp.tools.ingest.operation import INGEST_STRIPE_EVENTS as INGEST_STRIPE_EVENTS
from rekomi_mcp.tools.ingest.operation import apply_facts as apply_facts
from rekomi_mcp.tools.ingest.operation import decide_facts as decide_facts
from rekomi_mcp.tools.ingest.operation import reconsider as reconsider
