"""What the shim takes from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Each field is LOCI_<NAME> of the environment, or the content of the file that LOCI_<NAME>_FILE names.

    turns_dsn: a login with loci_app and loci_proposer. decisions_dsn: another, with loci_app and loci_approver; empty: nothing
    is decided here. gateway_url: ends in /v1. Numbers: bytes, seconds, or how many at a time.
    """

    turns_dsn: str = field(repr=False)
    gateway_url: str
    decisions_dsn: str = field(default="", repr=False)
    gateway_key: str = field(default="none", repr=False)
    shim_host: str = "127.0.0.1"
    shim_port: int = 8080
    shim_connections: int = 10
    shim_connection_seconds: float = 30
    shim_max_requests: int = 500
    shim_max_body_bytes: int = 1_000_000
    shim_max_reply_chars: int = 1_000_000
    shim_turn_seconds: float = 300
    shim_stall_seconds: float = 30
    shim_database_seconds: float = 120
    shim_heartbeat_seconds: float = 15

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises ValueError where something is missing or no number, OSError where a file cannot be read."""
        found: dict[str, Any] = {}
        for each in fields(cls):
            name = f"LOCI_{each.name.upper()}"
            value = environment.get(name)
            if value is None and (path := environment.get(f"{name}_FILE")):
                value = Path(path).read_text(encoding="utf-8").strip()
            if value:
                try:
                    found[each.name] = {"int": int, "float": float}.get(str(each.type), str)(value)
                except ValueError:
                    raise ValueError(f"{name} is no number") from None
            elif each.default is MISSING:
                raise ValueError(f"{name} is not set")
        return cls(**found)
