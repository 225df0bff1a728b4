"""The errors the sandbox answers with: Stripe's shape, and Stripe's wording where clients depend on it."""

from typing import ClassVar

from rekomi_mcp.sandbox.shapes import JsonObject


class ApiError(Exception):
    """An answer other than 200.

    Args:
        message: what went wrong, for a person.
        code: Stripe's stable code, where Stripe gives one.
        param: the parameter at fault in form spelling, for example `promotion[coupon]`.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    remembered: ClassVar[bool] = False
    """Whether an idempotency key keeps this answer: Stripe keeps what an executing request met, not bad input."""

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param

    def body(self) -> JsonObject:
        """`{"error": {type, message, code?, doc_url?, param?}}`."""
        error: JsonObject = {"type": self.type, "message": self.message}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


class InvalidRequest(ApiError):
    """The request itself is wrong, whatever the state."""


class Refused(ApiError):
    """The request is well formed; the state of the account forbids it."""

    remembered = True


class Unauthenticated(ApiError):
    status = 401


class AccountForbidden(ApiError):
    status = 403


class NotFound(ApiError):
    status = 404


class NotLocal(ApiError):
    """The request comes from another machine or from a web page of another origin."""

    status = 403


class KeyReused(ApiError):
    type = "idempotency_error"


class Busy(ApiError):
    """Another process holds the state file for longer than we wait."""

    status = 429


class Broken(ApiError):
    """A bug in the sandbox."""

    status = 500
    type = "api_error"


def unknown_parameter(param: str) -> InvalidRequest:
    return InvalidRequest(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def missing_parameter(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required param: {param}.", code="parameter_missing", param=param)


def exclusive_parameters(first: str, second: str) -> InvalidRequest:
    message = f"You may only specify one of these parameters: {first}, {second}."
    return InvalidRequest(message, param=first)


def missing_object(type: str, id: str, *, param: str, in_path: bool = False) -> ApiError:
    """404 for an id in the path, 400 for one in a parameter."""
    name = type.replace("promotion_code", "promotion code").replace("checkout.session", "checkout session")
    refusal = NotFound if in_path else InvalidRequest
    return refusal(f"No such {name}: '{id}'", code="resource_missing", param=param)
