"""A call that must be refused, and the scene it is made in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.world import Brand

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """A brand with one of everything, and with things that are over."""

    brand: Brand
    neighbour: Brand
    archived_coupon: str
    other_programs_coupon: str
    archived_program: str
    archived_programs_affiliate: str
    archived_programs_coupon: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """A call that must be refused."""

    name: str
    operation: str
    arguments: Callable[[Scene], Arguments]
    code: str
    field: str | None
    says: str
    """A part of the message: what is wrong or what to do about it."""


def mistake(
    name: str,
    operation: str,
    arguments: Callable[[Scene], Arguments],
    field: str | None,
    says: str,
    code: str = "validation_failed",
) -> Any:
    return pytest.param(Mistake(name, operation, arguments, code, field, says), id=name.replace(" ", "-"))


def coupon_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"programId": s.brand.program, "name": "Summer", "discountValue": 20} | wrong


def code_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"affiliateId": s.brand.affiliate, "couponId": s.brand.coupon, "code": "NEW-CODE"} | wrong


def affiliate_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"programId": s.brand.program, "email": "new@example.com"} | wrong


def program_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"programId": s.brand.program} | wrong


def just(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: wrong
