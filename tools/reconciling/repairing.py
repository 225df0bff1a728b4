"""Put right what was missed: first the plan, then, confirmed, exactly that plan."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Annotated, cast

from pydantic import BaseModel, Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.errors import Conflict
from rekomi_mcp.operation import Context, Input, Inquiry, Operation, Output, Route
from rekomi_mcp.tools.fields import Mode, Moment
from rekomi_mcp.tools.ingest import apply_facts
from rekomi_mcp.tools.reconciling.differences import Comparison, compare, fingerprint
from rekomi_mcp.tools.reconciling.payments_before import EARLIER_PAYMENTS, facts_to_record
from rekomi_mcp.tools.reconciling.stripe_walk import Walk, walk
from rekomi_mcp.tools.reconciling.window import WindowQuestion, question_of
from rekomi_mcp.tools.reconciling.words import CommissionEffect, Counts, Finding, count, present, present_effects

MOST_SHOWN = 50
"""Of findings and of affiliates; the counts are of all."""


class RepairInput(Input):
    since: Moment | None = Field(default=None, description="As for find_missed_sales.")
    until: Moment | None = Field(default=None, description="As for find_missed_sales.")
    token: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, alias="confirm", description="The plan's token; without it only the plan is answered."
    )


class Repair(Output):
    repaired: bool = Field(description="False for a plan, and when there was nothing to do.")
    summary: str = Field(description="What was done or would be, in words.")
    confirm: str | None = Field(default=None, description="Pass it with the same since and until to do it.")
    counts: Counts = Field(description="What is put right, by kind.")
    effects: list[CommissionEffect] = Field(description="What it adds to each affiliate's commission; negative takes.")
    findings: list[Finding] = Field(description="What is put right, newest first; at most 50.")
    checked_since: datetime = Field(description="Compared from here on.")
    checked_until: datetime
    notes: list[str]
    stripe_mode: Mode = Field(description="sandbox and test sales are not real money.")


class RepairNote(BaseModel):
    """What the audit log keeps of a repair."""

    since: datetime
    until: datetime
    missing: int
    notCredited: int
    wrongAmount: int
    doubled: int
    effects: list[str]


def _ask(context: Context, request: RepairInput) -> WindowQuestion:
    return question_of(context, request.since, request.until, look_for_ours=False)


def _answer(context: Context, request: RepairInput, found: Walk) -> Repair:
    question, comparison = _ask(context, request), compare(context, found)
    if not comparison.mended:
        where = " in what was read" if found.since > question.since else ""
        answer = _present(context, question, found, comparison, f"There is nothing to repair{where}.")
        if _ends_loss(context, question, found):
            # Nobody's sales move no money, but renewals are counted with them, and nobody will look here again.
            apply_facts(context, facts_to_record(context, found, comparison), corrects=True)
            context.changed("tracking", None, after=_note(question, found, answer), action="tracking.compared")
        return answer
    token = fingerprint(context, comparison)
    if request.token is None:
        words = f"{_what(comparison)} would be put right. Nothing is changed yet: repeat the call with confirm."
        return _present(context, question, found, comparison, words, token=token)
    if not hmac.compare_digest(request.token, token):
        words = f"{_what(comparison)} would be put right."
        plan = _present(context, question, found, comparison, words, token=token)
        raise Conflict(
            "What there is to repair is not what this token was given for, and nothing was changed. Look at the new plan, "
            "and confirm it with its own token.",
            field="confirm",
            plan=plan.model_dump(mode="json"),
        )
    answer = _present(context, question, found, comparison, f"{_what(comparison)} put right.", repaired=True)
    apply_facts(context, facts_to_record(context, found, comparison), corrects=True)
    _ends_loss(context, question, found)
    context.changed("tracking", None, after=_note(question, found, answer))
    return answer


def _ends_loss(context: Context, question: WindowQuestion, found: Walk) -> bool:
    """Note that what was read here is lost no more, should it be of a time whose events were never read."""
    span = storage.inbox.Span(found.since, question.until)
    return not found.has_gaps and storage.inbox.note_compared(context.session, question.account, span)


def _what(comparison: Comparison) -> str:
    number = len(comparison.mended)
    return "1 finding" if number == 1 else f"{number} findings"


def _present(
    context: Context,
    question: WindowQuestion,
    found: Walk,
    comparison: Comparison,
    summary: str,
    *,
    token: str | None = None,
    repaired: bool = False,
) -> Repair:
    notes, mended = list(found.notes), comparison.mended
    if found.since > question.since:
        notes.append(
            "There is more in Stripe than one call reads. Afterwards repair what is older, with until = checkedSince, and "
            "then begin again from the newest, until nothing is found: a renewal shows once its first sale is recorded."
        )
    elif mended and not question.is_open:
        notes.append(
            "Sales after this span may show only once this is repaired: repair the time after it again, until nothing is "
            "found."
        )
    left = len(comparison.differences) - len(mended)
    if left:
        notes.append(f"{left} more cannot be put right here: find_missed_sales says what to do about each.")
    if len(mended) > MOST_SHOWN or len(comparison.effects) > MOST_SHOWN:
        notes.append(f"Only the first {MOST_SHOWN} are shown; the counts are of all.")
    return Repair(
        repaired=repaired,
        summary=summary,
        confirm=token,
        counts=count(mended),
        effects=present_effects(context, comparison.effects[:MOST_SHOWN] if mended else ()),
        findings=present(context, mended[:MOST_SHOWN]),
        checked_since=found.since,
        checked_until=min(question.until, context.now),
        notes=notes,
        stripe_mode=cast(Mode, context.mode),
    )


def _note(question: WindowQuestion, found: Walk, done: Repair) -> RepairNote:
    return RepairNote(
        since=found.since,
        until=question.until,
        missing=done.counts.missing,
        notCredited=done.counts.not_credited,
        wrongAmount=done.counts.wrong_amount,
        doubled=done.counts.doubled,
        effects=[f"{each.affiliate_id} {each.commission}" for each in done.effects],
    )


REPAIR_MISSED_SALES = Operation(
    name="repair_missed_sales",
    title="Repair missed sales",
    summary="Put right what find_missed_sales finds: first the plan with a token, then, with confirm, that plan.",
    usage="Show the owner the plan before confirming it. Codes that are nobody's are left to a person.",
    toolset="tracking",
    input=RepairInput,
    output=Repair,
    inquiry=Inquiry(ask=_ask, call=walk, follow_up=EARLIER_PAYMENTS, answer=_answer),
    route=Route("POST", "/api/v1/tracking/repairs"),
    scope=Scope.READ_WRITE,
    # It grants commission, but only what the program's own rules give: as adopting a code does.
    role=Role.Manager,
    audit="tracking.repaired",
    idempotent=True,
)
