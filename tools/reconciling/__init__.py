"""Whether everything that Stripe knows arrived here: what was missed, how to mend it, and how the tracking fares."""

from rekomi_mcp.tools.reconciling.finding import FIND_MISSED_SALES as FIND_MISSED_SALES
from rekomi_mcp.tools.reconciling.health import TRACKING_HEALTH as TRACKING_HEALTH
from rekomi_mcp.tools.reconciling.repairing import REPAIR_MISSED_SALES as REPAIR_MISSED_SALES
from rekomi_mcp.tools.reconciling.replaying import REPLAY_FAILED_EVENTS as REPLAY_FAILED_EVENTS
