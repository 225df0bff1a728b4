"""Row ids."""

import sys

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils import uuid7


def new_id() -> str:
    """A fresh row id. Version 7: ids sort by time, so an insert lands at the end of every index on them."""
    return str(uuid7())
