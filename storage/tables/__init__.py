"""Every table, one file a subject.

Every row but the inbox's belongs to one organization, and every index that a list walks begins with it. Money is an
integer in the minor unit of the currency beside it; rates are basis points or minor units.
"""

from rekomi_mcp.storage.tables.earlier_payments import EarlierPaymentRow as EarlierPaymentRow
from rekomi_mcp.storage.tables.organizations import ApiTokenRow as ApiTokenRow
from rekomi_mcp.storage.tables.organizations import DeploymentRow as DeploymentRow
from rekomi_mcp.storage.tables.organizations import OrganizationRow as OrganizationRow
from rekomi_mcp.storage.tables.organizations import SigningSecretRow as SigningSecretRow
from rekomi_mcp.storage.tables.programs import AffiliateCodeRow as AffiliateCodeRow
from rekomi_mcp.storage.tables.programs import AffiliateLinkRow as AffiliateLinkRow
from rekomi_mcp.storage.tables.programs import AffiliateRow as AffiliateRow
from rekomi_mcp.storage.tables.programs import CampaignCouponRow as CampaignCouponRow
from rekomi_mcp.storage.tables.programs import ClickRow as ClickRow
from rekomi_mcp.storage.tables.programs import LeadRow as LeadRow
from rekomi_mcp.storage.tables.programs import LinkSlugRow as LinkSlugRow
from rekomi_mcp.storage.tables.programs import PastTermsRow as PastTermsRow
from rekomi_mcp.storage.tables.programs import ProgramRow as ProgramRow
from rekomi_mcp.storage.tables.records import AuditHeadRow as AuditHeadRow
from rekomi_mcp.storage.tables.records import AuditLineRow as AuditLineRow
from rekomi_mcp.storage.tables.records import IdempotencyRecordRow as IdempotencyRecordRow
from rekomi_mcp.storage.tables.records import InboxEventRow as InboxEventRow
from rekomi_mcp.storage.tables.records import OutboundCallRow as OutboundCallRow
from rekomi_mcp.storage.tables.records import PollCursorRow as PollCursorRow
from rekomi_mcp.storage.tables.sales import BindingRow as BindingRow
from rekomi_mcp.storage.tables.sales import ConversionRow as ConversionRow
from rekomi_mcp.storage.tables.sales import LedgerEntryRow as LedgerEntryRow
from rekomi_mcp.storage.tables.sales import ReversalRow as ReversalRow
from rekomi_mcp.storage.tables.sales import SaleCodeRow as SaleCodeRow
from rekomi_mcp.storage.tables.sales import SalePaymentRow as SalePaymentRow
from rekomi_mcp.storage.tables.sales import SaleRow as SaleRow
from rekomi_mcp.storage.tables.subscription_starts import SubscriptionStartRow as SubscriptionStartRow
