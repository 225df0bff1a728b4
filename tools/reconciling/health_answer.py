"""What tracking_health answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from rekomi_mcp.operation import Output
from rekomi_mcp.tools.fields import Mode


class SourceHealth(Output):
    source: Literal["webhook", "poll"]
    last_event_type: str
    received_at: datetime
    seconds_ago: int


class FailedEvent(Output):
    event_id: str
    type: str
    error: str
    attempts: int
    received_at: datetime
    seconds_ago: int


class CodeDifference(Output):
    code: str
    code_id: str
    promotion_code_id: str
    here: str
    in_stripe: Literal["active", "inactive"]


class DeletedCoupon(Output):
    coupon_id: str
    name: str


class Health(Output):
    healthy: bool = Field(description="True when nothing has to be done.")
    next_steps: list[str] = Field(description="What to do, most urgent first; hints come last.")
    stripe_mode: Mode = Field(description="sandbox and test sales are not real money.")
    stripe_reachable: bool | None = Field(default=None, description="null without a linked account.")
    stripe_trouble: str | None = Field(default=None, description="Why Stripe could not be asked.")
    webhook_secret_set: bool
    poll_seconds: float = Field(description="The pause between readings of Stripe's events.")
    read_until: datetime | None = Field(default=None, description="How far events were polled; null when never.")
    read_seconds_ago: int | None = None
    sources: list[SourceHealth] = Field(description="The last event by each way it can come.")
    waiting_events: int
    oldest_waiting_seconds: int | None = None
    failed_events_total: int
    failed_events: list[FailedEvent] = Field(description="Given up on, newest first, at most 20.")
    code_differences: list[CodeDifference] = Field(description="Codes on in one place, off in the other.")
    codes_compared: int
    next_cursor: str | None = Field(default=None, description="Set while there are more codes.")
    deleted_coupons: list[DeletedCoupon] = Field(description="Active campaign coupons that Stripe does not have.")
    pending_calls: int = Field(description="Writes to Stripe that were decided here and are not made yet.")
    failing_calls: int
    last_call_error: str | None = None
