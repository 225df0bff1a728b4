"""Who is calling, what that caller may do, and what a gate answers."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from rekomi_mcp.domain.errors import Forbidden, PlanTierRequired, Refusal


class Scope(StrEnum):
    """What a token may do: `read_write` includes `read`."""

    READ = "read"
    READ_WRITE = "read_write"


class Role(IntEnum):
    """Ordered: a higher role may do whatever a lower one may."""

    Viewer = 1
    Manager = 2
    Admin = 3
    Owner = 4


class Plan(IntEnum):
    """Plan tiers, ordered: a higher tier holds every feature of a lower one."""

    Starter = 1
    Growth = 2
    Pro = 3
    Enterprise = 4


class SubscriptionStatus(StrEnum):
    Trialing = "Trialing"
    Active = "Active"
    None_ = "None"


class ActorType(StrEnum):
    """Who or what acted, as the audit log says it."""

    USER = "user"
    API_KEY = "api_key"
    MCP = "mcp"
    SYSTEM = "system"
    ADMIN = "admin"


class TokenKind(StrEnum):
    """The two bearer credentials, by the prefix they are written with."""

    LIVE = "rk_live_"
    MCP = "rk_mcp_"


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A credential that arrived over the wire, and the kinds its door accepts."""

    text: str
    accepted: TokenKind


@dataclass(frozen=True, slots=True)
class Signature:
    """What a seller's server signed with HMAC-SHA256, and when."""

    unix: int
    mac_hex: str
    signed: bytes
    """The very bytes: `<unix>.<raw body>`, or the canonical query string of a postback, which holds the time too."""


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call of a seller's server, signed with one of its organization's secrets."""

    sender: BearerToken | str
    """A token; or the organization's slug, where the signature alone says who is calling."""
    signature: Signature


@dataclass(frozen=True, slots=True)
class LocalOwner:
    """The person who can read the data folder: stdio without a token, and the command line."""

    actor: ActorType
    organization_slug: str | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """The person who runs the deployment, at its command line; stands above organizations."""


@dataclass(frozen=True, slots=True)
class System:
    """The server itself, acting for one organization: verified Stripe events, sweeps."""

    organization_id: str


Credential = BearerToken | SignedCall | LocalOwner | Operator | System


@dataclass(frozen=True, slots=True)
class Standing:
    """An organization's plan and whether it is paid for."""

    plan: Plan
    status: SubscriptionStatus
    trial_ends_at: datetime | None = None

    def trialing(self, now: datetime) -> bool:
        """True while a trial runs; a trial without an end runs on."""
        return self.status is SubscriptionStatus.Trialing and (self.trial_ends_at is None or now < self.trial_ends_at)

    def live(self, now: datetime) -> bool:
        return self.status is SubscriptionStatus.Active or self.trialing(now)


@dataclass(frozen=True, slots=True)
class Gate:
    """The plan an operation needs. A running trial opens every tier."""

    tier: Plan = Plan.Starter
    survives_lapse: bool = False
    """Open to an organization without a live subscription: it must be able to see why it is refused elsewhere."""

    def refusal(self, standing: Standing, now: datetime) -> PlanTierRequired | None:
        """The 402 of this gate, or None when it is open."""
        trialing = standing.trialing(now)
        if trialing or (standing.plan >= self.tier and (self.survives_lapse or standing.live(now))):
            return None
        if standing.plan < self.tier:
            message = f"This needs the {self.tier.name} plan or higher; this organization is on {standing.plan.name}."
            message += " Upgrade the plan, then try again."
        else:
            message = "This organization has no live subscription or trial. Activate a plan, then try again."
        return PlanTierRequired(
            message,
            required=self.tier.name,
            current=standing.plan.name,
            trialing=trialing,
            subscriptionStatus=standing.status.value,
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """An identified party, already bound to one organization ("" only for the operator's own commands)."""

    actor: ActorType
    actor_id: str | None
    """The token's id, or the signing secret's when that alone says who is calling; None for the local owner, the operator
    and the server itself."""
    organization_id: str
    scope: Scope
    role: Role
    standing: Standing
    token_expires_at: datetime | None = None
    signed: bool = False
    """True for a call that a seller's server signed."""


def scope_or_role_refusal(caller: Caller, scope: Scope, role: Role) -> Refusal | None:
    """The 403 of a caller whose token or role does not reach, or None."""
    if scope is Scope.READ_WRITE and caller.scope is Scope.READ:
        return Forbidden("This token is read-only. Use a token with the read_write scope.")
    if caller.role < role:
        return Forbidden(f"This needs the {role.name} role or higher; this token has {caller.role.name}.")
    return None
