"""What the server can do: one file a subject, one declaration an operation, and the catalogue of them all."""

from rekomi_mcp.operation import Catalogue
from rekomi_mcp.tools.administration import (
    CREATE_ORGANIZATION,
    CREATE_TOKEN,
    LIST_ORGANIZATIONS,
    LIST_TOKENS,
    REVOKE_TOKEN,
    UPDATE_ORGANIZATION,
)
from rekomi_mcp.tools.adoptable_codes import LIST_ADOPTABLE_CODES
from rekomi_mcp.tools.adoption import ADOPT_PROMOTION_CODE
from rekomi_mcp.tools.affiliate_codes import DEACTIVATE_AFFILIATE_CODE, LIST_AFFILIATE_CODES
from rekomi_mcp.tools.affiliates import (
    APPROVE_AFFILIATE,
    CREATE_AFFILIATE,
    GET_AFFILIATE,
    LIST_AFFILIATES,
    REJECT_AFFILIATE,
    UPDATE_AFFILIATE,
)
from rekomi_mcp.tools.attribution import EXPLAIN_ATTRIBUTION
from rekomi_mcp.tools.audit_log import LIST_AUDIT_LOG
from rekomi_mcp.tools.campaign_coupons import (
    CREATE_CAMPAIGN_COUPON,
    LIST_CAMPAIGN_COUPONS,
    UPDATE_CAMPAIGN_COUPON,
)
from rekomi_mcp.tools.clicks import LIST_CLICKS, RECORD_CLICKS
from rekomi_mcp.tools.conversions import GET_CONVERSION, LIST_CONVERSIONS
from rekomi_mcp.tools.coupon_archiving import ARCHIVE_CAMPAIGN_COUPON
from rekomi_mcp.tools.ingest import INGEST_STRIPE_EVENTS
from rekomi_mcp.tools.leads import LIST_LEADS, RECORD_LEAD, RECORD_SIGNUP
from rekomi_mcp.tools.links import CREATE_LINK, LIST_LINKS, RENAME_LINK
from rekomi_mcp.tools.minting import MINT_AFFILIATE_CODE
from rekomi_mcp.tools.organization import GET_BILLING_STATE, GET_ORGANIZATION, WHOAMI
from rekomi_mcp.tools.payouts import RUN_PAYOUT_PREVIEW
from rekomi_mcp.tools.postbacks import RECORD_POSTBACK
from rekomi_mcp.tools.programs import ARCHIVE_PROGRAM, CREATE_PROGRAM, GET_PROGRAM, LIST_PROGRAMS, UPDATE_PROGRAM
from rekomi_mcp.tools.reconciling import (
    FIND_MISSED_SALES,
    REPAIR_MISSED_SALES,
    REPLAY_FAILED_EVENTS,
    TRACKING_HEALTH,
)
from rekomi_mcp.tools.server_refunds import RECORD_REFUND
from rekomi_mcp.tools.server_sales import RECORD_SALE
from rekomi_mcp.tools.signing_secrets import CREATE_SIGNING_SECRET, LIST_SIGNING_SECRETS, REVOKE_SIGNING_SECRET
from rekomi_mcp.tools.website import GET_ATTRIBUTION_PARAMS, GET_INSTALL_SNIPPET, SET_ATTRIBUTION_PARAMS

CATALOGUE = Catalogue(
    WHOAMI,
    GET_ORGANIZATION,
    GET_BILLING_STATE,
    CREATE_PROGRAM,
    LIST_PROGRAMS,
    GET_PROGRAM,
    UPDATE_PROGRAM,
    ARCHIVE_PROGRAM,
    CREATE_AFFILIATE,
    LIST_AFFILIATES,
    GET_AFFILIATE,
    UPDATE_AFFILIATE,
    APPROVE_AFFILIATE,
    REJECT_AFFILIATE,
    CREATE_LINK,
    LIST_LINKS,
    RENAME_LINK,
    LIST_CLICKS,
    GET_INSTALL_SNIPPET,
    GET_ATTRIBUTION_PARAMS,
    SET_ATTRIBUTION_PARAMS,
    CREATE_CAMPAIGN_COUPON,
    LIST_CAMPAIGN_COUPONS,
    UPDATE_CAMPAIGN_COUPON,
    ARCHIVE_CAMPAIGN_COUPON,
    MINT_AFFILIATE_CODE,
    LIST_ADOPTABLE_CODES,
    ADOPT_PROMOTION_CODE,
    LIST_AFFILIATE_CODES,
    DEACTIVATE_AFFILIATE_CODE,
    RECORD_LEAD,
    LIST_LEADS,
    RECORD_SALE,
    RECORD_REFUND,
    LIST_CONVERSIONS,
    GET_CONVERSION,
    EXPLAIN_ATTRIBUTION,
    RUN_PAYOUT_PREVIEW,
    TRACKING_HEALTH,
    FIND_MISSED_SALES,
    REPAIR_MISSED_SALES,
    REPLAY_FAILED_EVENTS,
    LIST_AUDIT_LOG,
    CREATE_ORGANIZATION,
    UPDATE_ORGANIZATION,
    LIST_ORGANIZATIONS,
    CREATE_TOKEN,
    LIST_TOKENS,
    REVOKE_TOKEN,
    CREATE_SIGNING_SECRET,
    LIST_SIGNING_SECRETS,
    REVOKE_SIGNING_SECRET,
    RECORD_POSTBACK,
    INGEST_STRIPE_EVENTS,
    RECORD_CLICKS,
    RECORD_SIGNUP,
    unlisted=frozenset({"audit", "links", "organization", "server", "website"}),
)
