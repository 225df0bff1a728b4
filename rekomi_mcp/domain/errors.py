"""Every refusal the server can utter, with its HTTP status and stable code.

A refusal is an expected "no": its message is shown to the caller word for word and says what to do next. It never
quotes text written by an affiliate or a customer. Anything that is not a refusal is a bug and answers 500.

Refusal
├── InvalidInput             400 validation_failed
│   ├── UnsupportedCurrency  400 unsupported_currency
│   ├── SlugReserved         400 slug_reserved
│   ├── AttributionParamsTooLong  400 attribution_params_too_long
│   ├── TooManyAttributionParams  400 too_many_attribution_params
│   └── InvalidAttributionParam   400 invalid_attribution_param
├── InvalidSignature         400 invalid_signature
├── StripeRefused            400 stripe_refused
├── Unauthenticated          401 unauthorized
│   ├── NoSigningSecret      401 no_signing_secret
│   ├── SignatureMismatch    401 signature_mismatch
│   ├── SignatureRequired    401 signature_required
│   ├── SignatureStale       401 signature_stale
│   ├── TokenExpired         401 token_expired
│   └── TokenRevoked         401 token_revoked
├── PlanTierRequired         402 plan_tier_required
├── Forbidden                403 forbidden
│   └── ForeignOrigin        403 foreign_origin
├── NotFound                 404 not_found
│   └── NoProgramFound       404 no_program_found
├── WebhookDisabled          404 webhook_disabled
├── MethodNotAllowed         405 method_not_allowed
├── Conflict                 409 conflict
│   ├── AffiliateAlreadyExists  409 affiliate_already_exists
│   ├── AffiliateNotApproved    409 affiliate_not_approved
│   ├── AliasAlreadyTaken       409 alias_already_taken
│   ├── CodeAlreadyTaken        409 code_already_taken
│   ├── CouponArchived          409 coupon_archived
│   ├── IdempotencyConflict     409 idempotency_conflict
│   ├── ProgramArchived         409 program_archived
│   ├── SecretKeyRequired       409 secret_key_required
│   ├── SlugAlreadyTaken        409 slug_already_taken
│   ├── StatusConflict          409 status_conflict
│   ├── StripeNotConnected      409 stripe_not_connected
│   └── TokenLimitReached       409 token_limit_reached
├── PayloadTooLarge          413 payload_too_large
├── WrongHost                421 wrong_host
├── RateLimited              429 rate_limited
├── StripeMisconfigured      502 stripe_misconfigured
├── StripeUnavailable        503 stripe_unavailable
└── StripeTimeout            504 stripe_timeout
"""

from typing import ClassVar

from rekomi_mcp.domain.quota import Quota


class Refusal(Exception):
    """An expected "no".

    Args:
        message: one or two sentences for the caller, ending with what to do next.
        field: the argument that is at fault, in the caller's spelling (camelCase), if one is.
        **details: further documented keys of the answer, for example `required` of a plan gate.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, field: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = details
        self.quota: Quota | None = None
        """What is left of the caller's rate limit, once the caller is known."""

    def body(self) -> dict[str, object]:
        """The answer's JSON: `{error, message, field?, …details}`."""
        answer: dict[str, object] = {"error": self.code, "message": self.message}
        if self.field is not None:
            answer["field"] = self.field
        return answer | self.details


class InvalidInput(Refusal):
    """An argument is missing, unknown or not as declared."""

    status, code = 400, "validation_failed"


class UnsupportedCurrency(InvalidInput):
    """The currency is not one that is taken here."""

    code = "unsupported_currency"


class SlugReserved(InvalidInput):
    """The slug stands for a page or a route."""

    code = "slug_reserved"


class AttributionParamsTooLong(InvalidInput):
    """The list of attribution parameters is longer than it may be."""

    code = "attribution_params_too_long"


class TooManyAttributionParams(InvalidInput):
    """The list holds more attribution parameters than it may."""

    code = "too_many_attribution_params"


class InvalidAttributionParam(InvalidInput):
    """Some entries are no names of query parameters; `invalid` lists them."""

    code = "invalid_attribution_param"


class InvalidSignature(Refusal):
    """A webhook's signature is missing, forged or stale."""

    status, code = 400, "invalid_signature"


class StripeRefused(Refusal):
    """Stripe understood the request and said no; nothing was created there."""

    status, code = 400, "stripe_refused"


class Unauthenticated(Refusal):
    """There is no token, or none that is known here."""

    status, code = 401, "unauthorized"


class TokenExpired(Unauthenticated):
    """The token's time is over."""

    code = "token_expired"


class TokenRevoked(Unauthenticated):
    """The token was ended by its owner."""

    code = "token_revoked"


class SignatureRequired(Unauthenticated):
    """The call must be signed, and its signature is missing or not written as one."""

    code = "signature_required"


class SignatureStale(Unauthenticated):
    """It was signed more than 300 seconds before or after the server's time."""

    code = "signature_stale"


class SignatureMismatch(Unauthenticated):
    """No live signing secret of the organization makes this signature of what arrived."""

    code = "signature_mismatch"


class NoSigningSecret(Unauthenticated):
    """The organization has no signing secret that this server can read."""

    code = "no_signing_secret"


class PlanTierRequired(Refusal):
    """The organization's plan or subscription does not include this."""

    status, code = 402, "plan_tier_required"


class Forbidden(Refusal):
    """The token's scope or role does not reach."""

    status, code = 403, "forbidden"


class ForeignOrigin(Forbidden):
    """A page of another site sent the request."""

    code = "foreign_origin"


class NotFound(Refusal):
    """No such thing, or it belongs to another organization: the two must look the same."""

    status, code = 404, "not_found"


class NoProgramFound(NotFound):
    """There is no such program, or no active one yet."""

    code = "no_program_found"


class WebhookDisabled(Refusal):
    """No signing secret is set, so no webhook is taken."""

    status, code = 404, "webhook_disabled"


class MethodNotAllowed(Refusal):
    """The path takes another HTTP method."""

    status, code = 405, "method_not_allowed"


class Conflict(Refusal):
    """It clashes with what is there."""

    status, code = 409, "conflict"


class AffiliateAlreadyExists(Conflict):
    """The program has an affiliate with this e-mail address."""

    code = "affiliate_already_exists"


class AffiliateNotApproved(Conflict):
    """The affiliate must be approved first."""

    code = "affiliate_not_approved"


class AliasAlreadyTaken(Conflict):
    """The wanted link slug is somebody's."""

    code = "alias_already_taken"


class CodeAlreadyTaken(Conflict):
    """The code is live already, here or in Stripe."""

    code = "code_already_taken"


class CouponArchived(Conflict):
    """The campaign coupon has ended."""

    code = "coupon_archived"


class IdempotencyConflict(Conflict):
    """The key was used before with other arguments."""

    code = "idempotency_conflict"


class ProgramArchived(Conflict):
    """The program has ended."""

    code = "program_archived"


class SecretKeyRequired(Conflict):
    """The server has no key to seal signing secrets with."""

    code = "secret_key_required"


class SlugAlreadyTaken(Conflict):
    """The slug is in use."""

    code = "slug_already_taken"


class StatusConflict(Conflict):
    """The thing is not in a state that allows this."""

    code = "status_conflict"


class StripeNotConnected(Conflict):
    """The organization has no Stripe account here."""

    code = "stripe_not_connected"


class TokenLimitReached(Conflict):
    """The organization has as many active tokens as it may."""

    code = "token_limit_reached"


class PayloadTooLarge(Refusal):
    """The body is larger than the server takes."""

    status, code = 413, "payload_too_large"


class WrongHost(Refusal):
    """The request's Host header is no name of this server's."""

    status, code = 421, "wrong_host"


class RateLimited(Refusal):
    """The token has made its calls for this minute."""

    status, code = 429, "rate_limited"


class StripeMisconfigured(Refusal):
    """Stripe does not accept this server's key for this account; nothing was created there."""

    status, code = 502, "stripe_misconfigured"


class StripeUnavailable(Refusal):
    """Stripe was not reached or asked us to wait; nothing was created there."""

    status, code = 503, "stripe_unavailable"


class StripeTimeout(Refusal):
    """The request was sent and its outcome is unknown; the sweep finishes it with the same idempotency key."""

    status, code = 504, "stripe_timeout"
