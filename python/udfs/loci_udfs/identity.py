"""Who is asking: tokens of loci.login()."""

from __future__ import annotations

import json
from datetime import datetime

from loci_udfs.db import Db, entry
from loci_udfs.keys import resolve_key
from loci_udfs.login import verify


@entry
def verify_token(
    db: Db,
    token: str | None,
    key_ref: str,
    algorithms: str,
    audience: str | None,
    issuer: str | None,
    leeway_seconds: int,
    at: str,
) -> str:
    """Claims of a valid token as JSON text. algorithms: comma separated; at: the time to judge by, a timestamptz."""
    claims = verify(
        token or "",
        key=resolve_key(key_ref),
        algorithms=[name.strip() for name in algorithms.split(",") if name.strip()],
        audience=audience,
        issuer=issuer,
        leeway_seconds=leeway_seconds,
        now=datetime.fromisoformat(at).timestamp(),
    )
    return json.dumps(claims)
