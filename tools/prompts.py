"""What an owner often wants, as prompts to choose from: which tools to use, in which order, and what to report."""

from __future__ import annotations

from dataclasses import dataclass

from rekomi_mcp.operation import AnyOperation, Catalogue
from rekomi_mcp.tools.affiliate_codes import LIST_AFFILIATE_CODES
from rekomi_mcp.tools.affiliates import APPROVE_AFFILIATE, CREATE_AFFILIATE, LIST_AFFILIATES
from rekomi_mcp.tools.attribution import EXPLAIN_ATTRIBUTION
from rekomi_mcp.tools.campaign_coupons import CREATE_CAMPAIGN_COUPON, LIST_CAMPAIGN_COUPONS
from rekomi_mcp.tools.conversions import GET_CONVERSION, LIST_CONVERSIONS
from rekomi_mcp.tools.minting import MINT_AFFILIATE_CODE
from rekomi_mcp.tools.organization import GET_BILLING_STATE, GET_ORGANIZATION, WHOAMI
from rekomi_mcp.tools.payouts import RUN_PAYOUT_PREVIEW
from rekomi_mcp.tools.programs import CREATE_PROGRAM, LIST_PROGRAMS
from rekomi_mcp.tools.suggestions import AFFILIATES, CODES, SALES, Suggestions


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """What an owner fills in: one line of text."""

    name: str
    description: str
    required: bool = False
    max_length: int = 120
    suggestions: Suggestions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A message for an assistant. What the owner filled in is given beside the text, and never becomes a part of it."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...] = ()
    uses: tuple[AnyOperation, ...]
    """Every operation that the text names, in this order."""
    text: str

    def offered(self, catalogue: Catalogue) -> bool:
        """Whether an assistant has all the tools for it."""
        return all(map(catalogue.exposes, self.uses))


AFFILIATE = Argument(
    name="affiliate",
    description="Name, or a part of it, or the e-mail address.",
    required=True,
    max_length=254,
    suggestions=AFFILIATES,
)
MONTH = Argument(name="month", description="For example 2026-03 or last month; everything when left out.")

SET_UP_THE_PROGRAM = Prompt(
    name="set_up_the_program",
    title="Set up the affiliate program",
    description="From nothing to the first code: terms, a discount and an affiliate.",
    arguments=(
        Argument(name="commission", description="For example 20 % or 15 USD for every sale.", required=True),
        Argument(name="discount", description="What customers get, for example 10 % off the first payment."),
        Argument(name="program", description="What to call the program, for example Creators."),
    ),
    uses=(
        WHOAMI,
        GET_BILLING_STATE,
        LIST_PROGRAMS,
        CREATE_PROGRAM,
        CREATE_CAMPAIGN_COUPON,
        CREATE_AFFILIATE,
        MINT_AFFILIATE_CODE,
    ),
    text="""\
Set up my affiliate program.

1. `whoami` and `get_billing_state`: tell me in one line which organization this is, whether its money is real, and \
whether sales arrive from Stripe by themselves. If they do not, say what is missing before you go on.
2. `list_programs`: if there is a program already, show me its terms and ask whether I want a second one.
3. Ask me whether renewals earn too, unless I said so. Then `create_program` with the commission I gave.
4. `create_campaign_coupon` with the discount; ask me for it if I gave none.
5. Ask me for the name and e-mail address of the first affiliate, then `create_affiliate` and `mint_affiliate_code`.
6. Report the program's terms, the discount, and the code with whose it is.""",
)

GIVE_AFFILIATE_A_CODE = Prompt(
    name="give_affiliate_a_code",
    title="Give an affiliate a code",
    description="Find or add the affiliate, find or make the discount, and mint the code.",
    arguments=(
        AFFILIATE,
        Argument(name="discount", description="For example 20 % or 10 USD off.", required=True),
        Argument(name="code", description="The wanted text, for example SARAH20; made of the name when left out."),
    ),
    uses=(
        LIST_AFFILIATES,
        CREATE_AFFILIATE,
        APPROVE_AFFILIATE,
        LIST_CAMPAIGN_COUPONS,
        CREATE_CAMPAIGN_COUPON,
        MINT_AFFILIATE_CODE,
    ),
    text="""\
Give an affiliate a discount code of their own.

1. `list_affiliates` with the affiliate as q. If several are found, ask me which one. If nobody is, ask me for the e-mail \
address and use `create_affiliate`. If the one found is Pending, ask me before you use `approve_affiliate`.
2. `list_campaign_coupons` of the affiliate's program: take a live one with this discount. If there is none, tell me what \
you are going to make, then `create_campaign_coupon`.
3. `mint_affiliate_code` with both, and with the code if I gave one. If its text is taken, offer me others.
4. Report the code, what customers get for it, and what the affiliate earns.""",
)

WHAT_DID_THEY_EARN = Prompt(
    name="what_did_they_earn",
    title="What did an affiliate earn?",
    description="An affiliate's sales and commission, in a month or altogether.",
    arguments=(AFFILIATE, MONTH),
    uses=(LIST_AFFILIATES, LIST_CONVERSIONS),
    text="""\
Tell me what an affiliate earned.

1. `list_affiliates` with the affiliate as q. If several are found, ask me which one.
2. `list_conversions` with the affiliateId and detail detailed. If I gave a month, since is its first day and until the \
first day of the next month. Go on with nextCursor until hasMore is false.
3. Report the number of sales, and for each currency by itself what is Pending (and until when), Approved, Paid, and what \
refunds took back. Take remainingCommissionCents for what is left. Name the codes that the sales came from.""",
)

HOW_IS_A_CODE_DOING = Prompt(
    name="how_is_a_code_doing",
    title="How is a code doing?",
    description="Whose a code is, how often it was redeemed, and what it sold.",
    arguments=(
        Argument(
            name="code",
            description="What customers type, for example SARAH20.",
            required=True,
            max_length=32,
            suggestions=CODES,
        ),
    ),
    uses=(LIST_AFFILIATE_CODES, LIST_CONVERSIONS),
    text="""\
Tell me how a code is doing.

1. `list_affiliate_codes` with the code: whose it is, its discount, whether it is live, and how often it was redeemed. If \
there are several of this text, the live one is meant.
2. `list_conversions` with the code and detail detailed. Go on with nextCursor until hasMore is false.
3. Report in a few lines: sales and commission for each currency by itself, refunds, and the latest sale.""",
)

WHY_WAS_THIS_SALE_CREDITED = Prompt(
    name="why_was_this_sale_credited",
    title="Why was this sale credited?",
    description="Who earned on a sale and by which rule, or why nobody did.",
    arguments=(
        Argument(
            name="sale",
            description="A Stripe invoice (in_…), checkout session (cs_…) or payment (pi_…), your own id of the sale, the id of "
            "a conversion, or the customer's e-mail address.",
            required=True,
            max_length=255,
            suggestions=SALES,
        ),
    ),
    uses=(EXPLAIN_ATTRIBUTION, GET_CONVERSION),
    text="""\
Explain why a sale was credited as it was.

1. `explain_attribution`: give a conversion's id (from a list of conversions) as conversionId, an e-mail address as \
customerEmail, a code as customers type it as code, and anything else (in_…, cs_…, pi_… or an id of my own) as sourceId.
2. If somebody earned on it, `get_conversion` with its conversionId: renewals and refunds since then.
3. Tell me in plain words who earned, by which rule and on what evidence, the rate and where it came from, what is left of \
the commission, and who else had a claim and why they lost. If nobody earned, say why, and what I could change for the \
next sale.""",
)

MONTHLY_PAYOUT_REVIEW = Prompt(
    name="monthly_payout_review",
    title="Review the month's payouts",
    description="Who would be paid what, who waits and why, and what deserves a look. Nothing is paid.",
    arguments=(MONTH,),
    uses=(GET_ORGANIZATION, RUN_PAYOUT_PREVIEW, LIST_CONVERSIONS, EXPLAIN_ATTRIBUTION),
    text="""\
Prepare the review of my payouts. Pay nobody and change nothing.

1. `get_organization`: the hold period and the home currency.
2. `run_payout_preview` with take 200. If I gave a month, periodStart is its first day and periodEnd its last.
3. `list_conversions` for each of the three largest amounts, with the affiliateId and the same period: do the sales look as \
they usually do? Where one does not, `explain_attribution`.
4. Report the totals for each currency by itself, a table of who would be paid what and for how many sales, then who waits, \
why and until when, negative balances first, and last what I should look at before I pay.""",
)

PROMPTS = (
    SET_UP_THE_PROGRAM,
    GIVE_AFFILIATE_A_CODE,
    WHAT_DID_THEY_EARN,
    HOW_IS_A_CODE_DOING,
    WHY_WAS_THIS_SALE_CREDITED,
    MONTHLY_PAYOUT_REVIEW,
)
