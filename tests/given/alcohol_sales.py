"""alcohol_sales: rows of alcohol_sale_audit."""

from __future__ import annotations

from typing import Any

from tests.given.rows import at


def sale(**given: Any) -> dict[str, Any]:
    """Return an audited alcohol sale without an ID check; P(buyer under 18) is 0.25, P(under 25) is 0.5."""
    defaults = {
        "store_id": "0042",
        "till_id": "03",
        "transaction_id": "t1",
        "cashier_id": "c1",
        "closed_at": at("18:31:00"),
        "id_check": "not_asked",
        "audit_status": "challenge_age_unchecked",
        "estimate_status": "estimated",
        "under_legal_age_probability": 0.25,
        "under_challenge_age_probability": 0.5,
    }
    return defaults | given
