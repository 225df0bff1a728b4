"""Ids, codes and secrets that look like Stripe's."""

import secrets
import string

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_CAPITALS_AND_DIGITS = string.ascii_uppercase + string.digits

_LENGTHS = {"cus_": 14, "prod_": 14, "si_": 14, "req_": 14, "acct_": 16, "whsec_": 32, "cs_test_": 58}
_USUAL_LENGTH = 24


def new_id(prefix: str) -> str:
    """An id no other object has, for example `promo_` and 24 random characters."""
    return prefix + _random(_LETTERS_AND_DIGITS, _LENGTHS.get(prefix, _USUAL_LENGTH))


def new_code() -> str:
    """Eight capitals and digits: a promotion code, coupon id or invoice prefix nobody chose."""
    return _random(_CAPITALS_AND_DIGITS, 8)


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
