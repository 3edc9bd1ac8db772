"""JSON Web Tokens: the good ones, and everything an attacker would send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from loci_udfs.errors import LociError
from loci_udfs.login import ALGORITHMS, verify

SECRET = "an example of a secret of 32 bytes or more, which suits HS512 as well as HS256!"
NOW = 1_800_000_000.0
CLAIMS: dict[str, Any] = {"sub": "3f0e8a5e-user", "exp": NOW + 60}


def pem(key: Any) -> str:
    encoded: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


@cache
def private(kind: str) -> Any:
    if kind == "RS256":
        return rsa.generate_private_key(65537, 2048)
    if kind == "RS256 weak":
        return rsa.generate_private_key(65537, 1024)
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    return ed25519.Ed25519PrivateKey.generate()


def sign(claims: dict[str, Any], algorithm: str = "HS256", key: Any = SECRET, **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(header: bytes, payload: bytes, *, secret: str = SECRET) -> str:
    """A correctly signed token of any bytes."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


HS256 = b'{"alg":"HS256","typ":"JWT"}'


def check(token: Any, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "key": SECRET, "algorithms": ["HS256"], "audience": None, "issuer": None, "leeway_seconds": 0, "now": NOW,
    }  # fmt: skip
    return verify(token, **settings | more)


def refused(sqlstate: str, token: Any, **more: Any) -> LociError:
    with pytest.raises(LociError) as raised:
        check(token, **more)
    error = raised.value
    assert error.sqlstate == sqlstate, (error.message, error.detail)
    assert error.__suppress_context__ or error.__context__ is None, "no library error, which may quote the token"
    shown = f"{error.message} {error.detail} {error.hint}"
    assert "3f0e8a5e" not in shown and SECRET not in shown
    for part in str(token).split("."):
        assert len(part) < 8 or part not in shown
    return error


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_good_token(algorithm: str) -> None:
    if algorithm.startswith("HS"):
        token, key = sign(CLAIMS, algorithm), SECRET
    else:
        token, key = sign(CLAIMS, algorithm, private(algorithm)), pem(private(algorithm).public_key())
    assert check(token, key=key, algorithms=[algorithm]) == CLAIMS


def test_several_algorithms_of_one_family() -> None:
    assert check(sign(CLAIMS, "HS384"), algorithms=["HS256", "HS384"]) == CLAIMS
    refused("LC111", sign(CLAIMS, "HS512"), algorithms=["HS256", "HS384"])


# -- algorithm ------------------------------------------------------------------------------------


@pytest.mark.parametrize("none", ["none", "None", "NONE", "nOnE", "", None, 0, ["HS256"], {"a": 1}])
def test_no_algorithm(none: Any) -> None:
    header = json.dumps({"alg": none, "typ": "JWT"}).encode()
    refused("LC111", f"{b64(header)}.{b64(json.dumps(CLAIMS).encode())}.")
    refused("LC111", raw(header, json.dumps(CLAIMS).encode()))
    refused("LC119", raw(HS256, b"{}"), algorithms=["none"])


def test_missing_algorithm() -> None:
    with pytest.raises(LociError) as raised:
        check(raw(b'{"typ":"JWT"}', json.dumps(CLAIMS).encode()))
    assert raised.value.sqlstate in ("LC110", "LC111")


def test_public_key_as_shared_secret() -> None:
    public = pem(private("RS256").public_key())
    forged = raw(HS256, json.dumps(CLAIMS).encode(), secret=public)
    refused("LC111", forged, key=public, algorithms=["RS256"])
    refused("LC118", forged, key=public, algorithms=["HS256"])
    refused("LC119", forged, key=public, algorithms=["RS256", "HS256"])
    refused("LC111", forged, key=pem(private("ES256").public_key()), algorithms=["ES256"])


@pytest.mark.parametrize("algorithms", [[], ["HS256", "HS1"], ["EdDSA"], "HS256", ["HS256", "ES256"], ["PS256"]])
def test_unusable_algorithms(algorithms: Any) -> None:
    refused("LC119", sign(CLAIMS), algorithms=algorithms)


@pytest.mark.parametrize("leeway", [-1, 601])
def test_unusable_leeway(leeway: int) -> None:
    refused("LC119", sign(CLAIMS), leeway_seconds=leeway)


def test_keys_named_by_the_token_are_ignored() -> None:
    other = "another secret of more than thirty-two bytes, the attacker's"
    key = {"kty": "oct", "k": b64(other.encode())}
    refused("LC112", sign(CLAIMS, key=other, jwk=key, jku="http://localhost/keys", kid="../../etc/passwd"))


def test_critical_extension() -> None:
    refused("LC110", sign(CLAIMS, crit=["b64"], b64=False))
    refused("LC110", sign(CLAIMS, crit=["x"], x=1))


# -- key ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 31, "é" * 15, '{"kty": "RSA", "n": "' + "x" * 40, "ssh-rsa " + "A" * 40]
)
def test_unusable_secret(key: str) -> None:
    refused("LC118", sign(CLAIMS), key=key)


def test_secret_of_32_bytes() -> None:
    key = "é" * 16
    assert check(sign(CLAIMS, key=key), key=key) == CLAIMS


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("RS256", "RS256 weak"), ("RS256", "ES256"), ("ES256", "RS256"), ("ES256", "ES384"), ("ES256", "Ed25519")],
)
def test_public_key_of_another_kind(algorithm: str, kind: str) -> None:
    token = sign(CLAIMS, algorithm, private(algorithm))
    refused("LC118", token, key=pem(private(kind).public_key()), algorithms=[algorithm])


@pytest.mark.parametrize("key", ["", SECRET, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "\ud800"])
def test_no_public_key(key: str) -> None:
    refused("LC118", sign(CLAIMS, "RS256", private("RS256")), key=key, algorithms=["RS256"])


def test_private_key_is_refused_and_not_shown() -> None:
    secret = private("RS256").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    error = refused("LC118", sign(CLAIMS, "RS256", private("RS256")), key=secret.decode(), algorithms=["RS256"])
    assert "private" in str(error.detail)


# -- signature ------------------------------------------------------------------------------------


def test_wrong_signature() -> None:
    token = sign(CLAIMS)
    head, payload, signature = token.split(".")
    refused("LC112", sign(CLAIMS, key="y" * 40))
    refused("LC112", f"{head}.{b64(json.dumps(CLAIMS | {'sub': 'admin'}).encode())}.{signature}")
    refused("LC112", f"{head}.{payload}.{b64(bytes(32))}")
    refused("LC112", f"{head}.{payload}.")
    es = sign(CLAIMS, "ES256", private("ES256"))
    # r = s = 0, the "psychic signature".
    for forged in (bytes(64), b"", bytes(63)):
        refused(
            "LC112",
            f"{es.rpartition('.')[0]}.{b64(forged)}",
            key=pem(private("ES256").public_key()),
            algorithms=["ES256"],
        )


@given(st.integers(0, 10_000), st.sampled_from("ABCxyz019-_"))
def test_any_changed_character_is_refused(position: int, character: str) -> None:
    token = sign(CLAIMS)
    position %= len(token) - 1  # the last character has bits that carry nothing
    if token[position] in (character, "."):
        return
    with pytest.raises(LociError) as raised:
        check(token[:position] + character + token[position + 1 :])
    assert raised.value.sqlstate in ("LC110", "LC111", "LC112")


# -- times ----------------------------------------------------------------------------------------


def test_expiry_and_leeway() -> None:
    for exp, leeway, good in ((NOW + 1, 0, True), (NOW, 0, False), (NOW - 30, 31, True), (NOW - 30, 30, False)):
        token = sign({"sub": "3f0e8a5e", "exp": exp})
        if good:
            check(token, leeway_seconds=leeway)
        else:
            refused("LC113", token, leeway_seconds=leeway)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_not_yet_valid(claim: str) -> None:
    token = sign(CLAIMS | {claim: NOW + 30})
    refused("LC114", token)
    refused("LC114", token, leeway_seconds=29)
    assert check(token, leeway_seconds=30)["sub"] == CLAIMS["sub"]


def test_missing_claims() -> None:
    refused("LC115", sign({"sub": "3f0e8a5e"}))
    refused("LC115", sign({"exp": NOW + 60}))


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ['"9999999999"', "null", "true", "[]", "{}", "NaN", "Infinity", "1e999", "1" * 400])
def test_times_that_are_none(claim: str, value: str) -> None:
    claims = {"sub": '"3f0e8a5e"', "exp": str(NOW + 60)} | {claim: value}
    payload = "{" + ",".join(f'"{name}":{text}' for name, text in claims.items()) + "}"
    refused("LC115", raw(HS256, payload.encode()))


# -- parties --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sub", [None, "", "  ", 1, ["3f0e8a5e"], {}, True])
def test_subject_that_is_none(sub: Any) -> None:
    refused("LC115", raw(HS256, json.dumps({"sub": sub, "exp": NOW + 60}).encode()))


def test_audience() -> None:
    for named in ("loci", ["other", "loci"]):
        assert check(sign(CLAIMS | {"aud": named}), audience="loci")["aud"] == named
    for named in ("other", "loci2", "LOCI", ["other"], [], ""):
        refused("LC116", sign(CLAIMS | {"aud": named}), audience="loci")
    refused("LC116", sign(CLAIMS), audience="loci")
    refused("LC116", sign(CLAIMS | {"aud": "loci"}), audience=None)
    for malformed in (1, ["loci", 1], {"loci": 1}):
        refused("LC115", raw(HS256, json.dumps(CLAIMS | {"aud": malformed}).encode()), audience="loci")


def test_issuer() -> None:
    assert check(sign(CLAIMS | {"iss": "https://id"}), issuer="https://id")
    assert check(sign(CLAIMS | {"iss": "anyone"}), issuer=None)
    refused("LC117", sign(CLAIMS), issuer="https://id")
    refused("LC117", sign(CLAIMS | {"iss": "https://id/"}), issuer="https://id")
    refused("LC117", raw(HS256, json.dumps(CLAIMS | {"iss": ["https://id"]}).encode()), issuer="https://id")


# -- garbage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [None, 1, b"a.b.c", "", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d.e", "é.é.é", "\ud800.a.b", "a.b.c\0", " . . ",
     "Bearer " + sign(CLAIMS), raw(b"[]", b"{}"), raw(b"null", b"{}"), raw(b"{", b"{}"), raw(b"\xff", b"{}"),
     raw(HS256, b""), raw(HS256, b"[]"), raw(HS256, b'"x"'), raw(HS256, b"\xff\xfe"), raw(HS256, b"{" * 4000),
     raw(HS256, b"[" * 11000), raw(b"[" * 11000, b"{}"), raw(HS256, b'{"exp":' + b"1" * 5000 + b"}"),
     raw(b'{"alg":' + b"1" * 5000 + b"}", b"{}"), raw(b'{"alg":"HS256","kid":1}', b"{}")],
)  # fmt: skip
def test_garbage(token: Any) -> None:
    refused("LC110", token)


def test_oversize() -> None:
    def of_size(size: int) -> str:
        token = sign(CLAIMS | {"pad": "x" * (size * 3 // 4 - 200)})
        return token

    assert check(of_size(16_000))
    refused("LC110", sign(CLAIMS | {"pad": "x" * 16_384}))
    refused("LC110", "a" * 10_000_000 + ".b.c")


@given(st.text(max_size=200))
def test_any_text_is_refused(token: str) -> None:
    with pytest.raises(LociError) as raised:
        check(token)
    assert raised.value.sqlstate == "LC110"


# --- sets of keys (JWKS) ----------------------------------------------------------------------------------------------


def jwk(key: Any, kid: str | None = None, **more: Any) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePublicKey) else jwt.algorithms.RSAAlgorithm
    )
    return {**algorithm.to_jwk(key, as_dict=True), **({"kid": kid} if kid else {}), **more}


def jwks(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


@cache
def another_rsa() -> Any:
    return rsa.generate_private_key(65537, 2048)


def test_a_set_of_keys_is_asked_for_the_key_that_the_token_names() -> None:
    good, other, curve = private("RS256"), another_rsa(), private("ES256")
    keys = jwks(
        jwk(curve.public_key(), "c"),
        jwk(other.public_key(), "old"),
        jwk(good.public_key(), "new", use="sig", alg="RS256"),
    )
    assert check(sign(CLAIMS, "RS256", good, kid="new"), key=keys, algorithms=["RS256"])["sub"] == CLAIMS["sub"]
    assert check(sign(CLAIMS, "RS256", other, kid="old"), key=keys, algorithms=["RS256"])["sub"] == CLAIMS["sub"]
    assert check(sign(CLAIMS, "ES256", curve, kid="c"), key=keys, algorithms=["ES256"])["sub"] == CLAIMS["sub"]
    for kid in ("old", "c", "unknown"):
        refused("LC112", sign(CLAIMS, "RS256", good, kid=kid), key=keys, algorithms=["RS256"])


def test_a_token_that_names_no_key_is_of_the_only_one() -> None:
    good = private("RS256")
    one = jwks(jwk(good.public_key(), "new"), jwk(private("ES256").public_key(), "c"))
    assert check(sign(CLAIMS, "RS256", good), key=one, algorithms=["RS256"])["sub"] == CLAIMS["sub"]
    two = jwks(jwk(good.public_key(), "new"), jwk(another_rsa().public_key(), "old"))
    refused("LC112", sign(CLAIMS, "RS256", good), key=two, algorithms=["RS256"])
    refused("LC112", sign(CLAIMS, "RS256", good), key=jwks(jwk(good.public_key(), use="enc")), algorithms=["RS256"])


@pytest.mark.parametrize(
    "keys",
    [
        "{",
        "{}",
        '{"keys": []}',
        '{"keys": [{"kty": "RSA"}]}',
        '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
        '{"keys": 1}',
    ],
)
def test_a_set_without_a_usable_key(keys: str) -> None:
    with pytest.raises(LociError) as error:
        check(sign(CLAIMS, "RS256", private("RS256")), key=keys, algorithms=["RS256"])
    assert (
        error.value.sqlstate in ("LC118", "LC112") and "c2VjcmV0" not in f"{error.value.message} {error.value.detail}"
    )


def test_weak_and_private_keys_of_a_set_are_refused() -> None:
    weak = private("RS256 weak")
    refused("LC118", sign(CLAIMS, "RS256", weak), key=jwks(jwk(weak.public_key())), algorithms=["RS256"])
    good = private("RS256")
    refused("LC118", sign(CLAIMS, "RS256", good), key=jwks(jwk(good)), algorithms=["RS256"])


def test_a_set_is_no_shared_secret() -> None:
    keys = jwks(jwk(private("RS256").public_key(), "new"))
    refused("LC118", raw(HS256, json.dumps(CLAIMS).encode(), secret=keys), key=keys)
