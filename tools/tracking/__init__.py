"""Whether everything that Stripe knows arrived here: what was missed, how to mend it, and how the tracking fares."""

from rekomi_mcp.tools.tracking.finding import FIND_MISSED_SALES as FIND_MISSED_SALES
from rekomi_mcp.tools.tracking.health import TRACKING_HEALTH as TRACKING_HEALTH
from rekomi_mcp.tools.tracking.repairing import REPAIR_MISSED_SALES as REPAIR_MISSED_SALES
from rekomi_mcp.tools.tracking.replaying import REPLAY_FAILED_EVENTS as REPLAY_FAILED_EVENTS
