"""The one road: every call, from every transport, passes these steps in this order.

identify -> rate limit -> scope -> role -> plan -> validate -> replay? -> handler -> remember -> audit -> commit

`road.py` walks it; `three_steps.py` is the stretch for operations that write to Stripe, `inquiries.py` for those that
must ask it something first.
"""

from rekomi_mcp.pipeline.calls import Answer as Answer
from rekomi_mcp.pipeline.calls import Call as Call
from rekomi_mcp.pipeline.calls import Origin as Origin
from rekomi_mcp.pipeline.road import Pipeline as Pipeline
