"""Verification of the JSON Web Tokens that loci.login() takes (RFC 7519, RFC 8725)."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

from loci_udfs.errors import LociError

ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "ES256")

_LARGEST_TOKEN = 16 * 1024
_SHORTEST_SECRET = 32
_SMALLEST_RSA = 2048
_LONGEST_LEEWAY = 600


def verify(
    token: str,
    *,
    key: str,
    algorithms: Sequence[str],
    audience: str | None,
    issuer: str | None,
    leeway_seconds: int,
    now: float,
) -> dict[str, Any]:
    """The claims of a valid token.

    key: the shared secret (HS*, at least 32 bytes), or for RS256 and ES256 a PEM public key or a set of keys (JWKS,
    RFC 7517), of which the token names one by its kid.
    algorithms: those accepted, of one family. audience, issuer: what aud and iss must be; a token
    that names an audience is refused where none is expected. now: seconds since 1970.
    exp and sub are required. No error repeats anything of the token:
    LC110 not a token or over 16 kB, LC111 algorithm not accepted, LC112 wrong signature, LC113 expired,
    LC114 not valid yet, LC115 claim missing or of the wrong type, LC116 wrong audience,
    LC117 wrong issuer, LC118 unusable key, LC119 unusable settings.
    """
    family = _family(algorithms, leeway_seconds)
    a_set = family != "HS" and key.lstrip().startswith("{")
    prepared = None if a_set else _prepare_key(key, family)
    jwt: Any = importlib.import_module("jwt")

    if not isinstance(token, str) or not token.isascii() or token.count(".") != 2:
        raise _malformed()
    if len(token) > _LARGEST_TOKEN:
        raise _malformed(f"It is larger than {_LARGEST_TOKEN // 1024} kB.")
    # Deeply nested JSON raises RecursionError, absurdly long numbers ValueError.
    garbage = (jwt.exceptions.PyJWTError, RecursionError, ValueError, TypeError)
    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
    except garbage:
        raise _malformed() from None
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise LociError(
            "login token is signed with an algorithm that is not accepted",
            hint=f"Accepted here: {', '.join(algorithms)}.",
            sqlstate="LC111",
        )
    if "crit" in header:
        raise _malformed("It demands an extension that is not supported.")
    if a_set:
        prepared = _key_of_set(key, family, header.get("kid"))
    try:
        # PyJWT compares with its own clock, so times and claims are checked below.
        claims = jwt.decode(
            token,
            prepared,
            algorithms=[algorithm],
            options={
                "verify_signature": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_iss": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.exceptions.InvalidSignatureError:
        raise LociError("login token has a wrong signature", sqlstate="LC112") from None
    except jwt.exceptions.InvalidKeyError:
        raise _unusable_key("It does not fit the algorithm.") from None
    except garbage:
        raise _malformed() from None
    if not isinstance(claims, dict):
        raise _malformed()
    _check_times(claims, leeway_seconds, now)
    _check_parties(claims, audience, issuer)
    return claims


def _family(algorithms: Sequence[str], leeway_seconds: int) -> str:
    """'HS', 'RS' or 'ES'. A mixture would let a public key be used as a shared secret."""
    unknown = [name for name in algorithms if name not in ALGORITHMS]
    families = {name[:2] for name in algorithms}
    if isinstance(algorithms, str) or unknown or len(families) != 1:
        raise LociError(
            "login settings are not usable",
            detail="The accepted algorithms must be known ones of one family.",
            hint=f"Use one or more of HS256, HS384, HS512, or RS256, or ES256; known are {', '.join(ALGORITHMS)}.",
            sqlstate="LC119",
        )
    if not 0 <= leeway_seconds <= _LONGEST_LEEWAY:
        raise LociError(
            "login settings are not usable",
            detail=f"The leeway is {leeway_seconds} seconds.",
            hint=f"Use 0 to {_LONGEST_LEEWAY}.",
            sqlstate="LC119",
        )
    return families.pop()


def _prepare_key(key: str, family: str) -> Any:
    try:
        data = key.encode()
    except UnicodeEncodeError:
        raise _unusable_key("It is not UTF-8 text.") from None
    if family == "HS":
        if "-----BEGIN" in key or key.lstrip().startswith(("ssh-", "ecdsa-", "{")):
            raise _unusable_key("A public key is no shared secret; set RS256 or ES256.")
        if len(data) < _SHORTEST_SECRET:
            raise _unusable_key(f"A shared secret needs at least {_SHORTEST_SECRET} bytes.")
        return data
    serialization: Any = importlib.import_module("cryptography.hazmat.primitives.serialization")
    if "PRIVATE KEY-----" in key:
        raise _unusable_key("It is a private key; only the public key belongs here.")
    try:
        public: Any = serialization.load_pem_public_key(data)
    except Exception:
        # The library raises several kinds, some of its own; none may pass on with the key in it.
        raise _unusable_key("It is not a public key in PEM form.") from None
    return _check_public(public, family)


def _key_of_set(key: str, family: str, kid: Any) -> Any:
    """The key that a token names; without a name, the only one of its family."""
    jwt: Any = importlib.import_module("jwt")
    try:
        keys = jwt.PyJWKSet.from_json(key).keys
    except Exception:
        # As with PEM: nothing of the file passes on.
        raise _unusable_key("It is not a set of public keys (JWKS).") from None
    kind = {"RS": "RSA", "ES": "EC"}[family]
    fitting = [k for k in keys if k.key_type == kind and k.public_key_use in (None, "sig")]
    if kid is not None or len(fitting) != 1:
        fitting = [k for k in fitting if k.key_id is not None and k.key_id == kid]
    if len(fitting) != 1:
        raise LociError(
            "login token has a wrong signature",
            detail="It names no key of the set.",
            hint="Renew the file behind jwt_key_ref when the issuer has changed its keys.",
            sqlstate="LC112",
        )
    return _check_public(fitting[0].key, family)


def _check_public(public: Any, family: str) -> Any:
    if family == "RS":
        rsa: Any = importlib.import_module("cryptography.hazmat.primitives.asymmetric.rsa")
        if not isinstance(public, rsa.RSAPublicKey) or public.key_size < _SMALLEST_RSA:
            raise _unusable_key(f"RS256 needs an RSA key of at least {_SMALLEST_RSA} bits.")
    else:
        ec: Any = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ec")
        if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
            raise _unusable_key("ES256 needs an elliptic-curve key on P-256.")
    return public


def _check_times(claims: dict[str, Any], leeway: int, now: float) -> None:
    expiry = _number(claims, "exp", required=True)
    if expiry is not None and now >= expiry + leeway:
        raise LociError("login token has expired", hint="Sign in again.", sqlstate="LC113")
    for name in ("nbf", "iat"):
        since = _number(claims, name, required=False)
        if since is not None and since > now + leeway:
            raise LociError(
                "login token is not valid yet",
                hint="Compare the clocks of the issuer and of the database server.",
                sqlstate="LC114",
            )


def _check_parties(claims: dict[str, Any], audience: str | None, issuer: str | None) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip():
        raise _bad_claim("sub", "sub" in claims)
    named = claims.get("aud")
    audiences = [] if named is None else [named] if isinstance(named, str) else named
    if not isinstance(audiences, list) or not all(isinstance(name, str) for name in audiences):
        raise _bad_claim("aud", True)
    if audience is None and audiences:
        raise LociError(
            "login token is for another audience",
            hint="The token names an audience; set the one to expect.",
            sqlstate="LC116",
        )
    if audience is not None and audience not in audiences:
        raise LociError("login token is for another audience", sqlstate="LC116")
    if issuer is not None and claims.get("iss") != issuer:
        raise LociError("login token is from another issuer", sqlstate="LC117")


def _number(claims: dict[str, Any], name: str, *, required: bool) -> float | None:
    value = claims.get(name)
    if value is None and not required and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad_claim(name, name in claims)
    try:
        value = float(value)
    except OverflowError:
        raise _bad_claim(name, True) from None
    # NaN would compare as neither expired nor valid.
    if not math.isfinite(value):
        raise _bad_claim(name, True)
    return value


def _malformed(detail: str = "It is not a signed token in compact form.") -> LociError:
    return LociError("login token is malformed", detail=detail, sqlstate="LC110")


def _bad_claim(name: str, present: bool) -> LociError:
    fault = "is of the wrong type" if present else "is missing"
    return LociError("login token lacks a claim", detail=f"The claim {name} {fault}.", sqlstate="LC115")


def _unusable_key(detail: str) -> LociError:
    return LociError("login key is not usable", detail=detail, sqlstate="LC118")
