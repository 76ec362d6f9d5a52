"""The user and the subscription: a server of one's own has one of each, and nothing is counted or billed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from antiphon.server.rest.dependencies import KeyNeeded

router = APIRouter(prefix="/v1/user", tags=["user"], dependencies=[KeyNeeded])

NO_LIMIT = 2**31 - 1
"Characters and voices: the API has no word for no limit."


def _subscription() -> dict[str, Any]:
    return {
        "tier": "self_hosted",
        "character_count": 0,
        "character_limit": NO_LIMIT,
        "max_character_limit_extension": None,
        "max_credit_limit_extension": "unlimited",
        "can_extend_character_limit": False,
        "allowed_to_extend_character_limit": False,
        "next_character_count_reset_unix": None,
        "voice_slots_used": 0,
        "professional_voice_slots_used": 0,
        "professional_voice_slots_used_in_workspace": 0,
        "voice_limit": 0,
        "max_voice_add_edits": None,
        "voice_add_edit_counter": 0,
        "professional_voice_limit": 0,
        "can_extend_voice_limit": False,
        "can_use_instant_voice_cloning": False,
        "can_use_professional_voice_cloning": False,
        "currency": None,
        "current_overage": {"amount": "0", "currency": "usd"},
        "status": "active",
        "billing_period": None,
        "character_refresh_period": None,
    }


@router.get("")
async def get_user() -> dict[str, Any]:
    """Whoever holds a key is the workspace."""
    return {
        "user_id": "workspace",
        "workspace_id": "workspace",  # the Python SDK has it as required, the API's description has it not
        "subscription": _subscription(),
        "subscription_extras": None,
        "is_new_user": False,
        "xi_api_key": None,
        "can_use_delayed_payment_methods": False,
        "is_onboarding_completed": True,
        "is_onboarding_checklist_completed": True,
        "show_compliance_terms": False,
        "first_name": None,
        "is_api_key_hashed": True,
        "xi_api_key_preview": None,
        "referral_link_code": None,
        "partnerstack_partner_default_link": None,
        "created_at": 0,
        "seat_type": "workspace_admin",
    }


@router.get("/subscription")
async def get_subscription() -> dict[str, Any]:
    """Nothing is limited, nothing is owed; voices cannot be cloned here."""
    return {**_subscription(), "open_invoices": [], "has_open_invoices": False, "next_invoice": None}
