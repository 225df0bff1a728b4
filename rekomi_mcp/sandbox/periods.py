"""Billing periods on the calendar, in UTC."""

import calendar
from datetime import UTC, datetime, timedelta

DAY_SECONDS = 24 * 3600


def add_periods(start: int, interval: str, count: int) -> int:
    """The unix time `count` days, weeks, months or years after `start`; the 31st becomes a shorter month's last."""
    moment = datetime.fromtimestamp(start, UTC)
    match interval:
        case "day":
            moment += timedelta(days=count)
        case "week":
            moment += timedelta(weeks=count)
        case "month":
            moment = _add_months(moment, count)
        case "year":
            moment = _add_months(moment, 12 * count)
        case _:
            raise ValueError(f"no such interval: {interval}")
    return int(moment.timestamp())


def _add_months(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    last_day = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))
