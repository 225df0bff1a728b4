"""What the fuzzer's walk along links needs to get anywhere: bodies with little more than what is required.

Which arguments go together is in no schema, so a body with many of them is nearly always refused. The other runs send
those; here it is the ids in the answers that matter.
"""

from __future__ import annotations

from typing import Any, cast

import schemathesis

ESSENTIAL = frozenset("name email fullName defaultCommissionType defaultCommissionValue discountValue".split())


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType] - its types are not complete
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in cast(dict[str, Any], body).items() if name in ESSENTIAL}
