"""Why a sale was credited as it was, or to nobody: told from the decision kept with the sale."""

from rekomi_mcp.tools.attribution.operation import EXPLAIN_ATTRIBUTION as EXPLAIN_ATTRIBUTION
from rekomi_mcp.tools.attribution.words import WHY_NOBODY as WHY_NOBODY
from rekomi_mcp.tools.attribution.words import why_nobody as why_nobody
