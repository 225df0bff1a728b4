"""Mistakes with affiliates, programs, leads and explanations."""

from __future__ import annotations

from tests.support.mistakes import affiliate_with, just, mistake, program_with

PEOPLE = [
    mistake("bad e-mail", "create_affiliate", affiliate_with(email="nobody"), "email", "for example"),
    mistake(
        "e-mail with a line break", "create_affiliate", affiliate_with(email="a@example.com\nb"), "email", "for example"
    ),
    mistake(
        "duplicate affiliate",
        "create_affiliate",
        affiliate_with(email="sarah@example.com"),
        "email",
        "list_affiliates",
        "affiliate_already_exists",
    ),
    mistake(
        "duplicate affiliate in another case",
        "create_affiliate",
        affiliate_with(email="Sarah@Example.com"),
        "email",
        "list_affiliates",
        "affiliate_already_exists",
    ),
    mistake(
        "reserved alias",
        "create_affiliate",
        affiliate_with(customAlias="admin"),
        "customAlias",
        "Choose another",
        "slug_reserved",
    ),
    mistake(
        "taken alias",
        "create_affiliate",
        affiliate_with(customAlias="sarah-lee"),
        "customAlias",
        "Choose another",
        "alias_already_taken",
    ),
    mistake(
        "alias with a space", "create_affiliate", affiliate_with(customAlias="sarah lee"), "customAlias", "for example"
    ),
    mistake(
        "affiliate of an archived program",
        "create_affiliate",
        lambda s: affiliate_with(programId=s.archived_program)(s),
        "programId",
        "Choose a live one",
        "program_archived",
    ),
    mistake(
        "an affiliate approved again",
        "approve_affiliate",
        lambda s: {"affiliateId": s.brand.affiliate},
        "affiliateId",
        "update_affiliate",
        "status_conflict",
    ),
    *(
        mistake(
            f"custom domain {name}",
            "update_program",
            program_with(customDomain=text),
            "customDomain",
            "customDomain: must be a host name in lower case, for example go.example.com.",
        )
        for name, text in {
            "that is an address": "https://go.example.com",
            "in capitals": "GO.example.com",
            "with a line end": "go.example.com\n",
            "of 254 characters": "a." * 125 + "shop",
        }.items()
    ),
    mistake("program changed by nothing", "update_program", program_with(), None, "give at least one field"),
    mistake(
        "affiliate changed by nothing",
        "update_affiliate",
        lambda s: {"affiliateId": s.brand.affiliate},
        None,
        "give at least one field",
    ),
    mistake("recurringMonths -2", "update_program", program_with(recurringMonths=-2), "recurringMonths", "-1"),
    mistake(
        "visibility Public",
        "update_program",
        program_with(networkVisibility="Public"),
        "networkVisibility",
        "'Private', 'Networked' or 'InviteOnly'",
    ),
    mistake(
        "commission type without value",
        "update_program",
        program_with(defaultCommissionType="Fixed"),
        "defaultCommissionValue",
        "together",
    ),
    mistake(
        "program archived again",
        "archive_program",
        lambda s: {"programId": s.archived_program},
        "programId",
        "already",
        "status_conflict",
    ),
    mistake(
        "snake case in a write",
        "create_affiliate",
        affiliate_with(full_name="Kim"),
        "full_name",
        "did you mean fullName?",
    ),
    mistake(
        "snake case in a read",
        "list_affiliates",
        lambda s: {"program_id": s.brand.program},
        "program_id",
        "did you mean programId?",
    ),
    mistake("unknown argument", "list_affiliates", just(colour="red"), "colour", "programId"),
    mistake(
        "lead of nobody", "record_lead", just(email="kim@example.com"), "affiliateId", "exactly one of affiliateId"
    ),
    mistake(
        "lead of two",
        "record_lead",
        lambda s: {"email": "kim@example.com", "affiliateId": s.brand.affiliate, "code": "SARAH20"},
        "affiliateId",
        "exactly one of affiliateId",
    ),
    mistake(
        "lead of an applicant",
        "record_lead",
        lambda s: {"email": "kim@example.com", "affiliateId": s.brand.applicant},
        "affiliateId",
        "approve_affiliate",
        "affiliate_not_approved",
    ),
    mistake(
        "lead of an affiliate of an archived program",
        "record_lead",
        lambda s: {"email": "kim@example.com", "affiliateId": s.archived_programs_affiliate},
        "affiliateId",
        "archived",
        "program_archived",
    ),
    mistake(
        "link in an archived program",
        "create_link",
        lambda s: {"affiliateId": s.archived_programs_affiliate},
        "affiliateId",
        "archived",
        "program_archived",
    ),
    mistake(
        "adoption in an archived program",
        "adopt_promotion_code",
        lambda s: {"affiliateId": s.archived_programs_affiliate, "promotionCodeId": "promo_1"},
        "affiliateId",
        "archived",
        "program_archived",
    ),
    mistake(
        "lead of an unknown code",
        "record_lead",
        just(email="kim@example.com", code="NOBODY"),
        "code",
        "list_affiliate_codes",
        "not_found",
    ),
    mistake("explanation of nothing", "explain_attribution", just(), "conversionId", "exactly one"),
    mistake(
        "explanation of two things",
        "explain_attribution",
        lambda s: {"conversionId": s.brand.conversion, "sourceId": s.brand.source},
        "conversionId",
        "exactly one",
    ),
    mistake("unknown code", "explain_attribution", just(code="NOBODYS"), "code", "list_adoptable_codes", "not_found"),
    mistake(
        "unknown sale", "explain_attribution", just(sourceId="in_unknown"), "sourceId", "find_missed_sales", "not_found"
    ),
]
