"""A small OpenID Connect provider on a port of its own, strict as one must be, that can lie."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

CLIENT_ID = "charge key"
CLIENT_SECRET = "a secret: with & in it"  # noqa: S105 - of tests, it opens nothing
REDIRECT_URI = "https://portal.example/signed-in"

Claims = dict[str, Any]
KEYS: dict[str, Any] = {
    "RS256": new_rsa_key(65537, 2048),
    "ES256": new_ec_key(SECP256R1()),
    "EdDSA": Ed25519PrivateKey.generate(),
}


class Refused(Exception):  # noqa: N818 - what a provider says, no fault of this one
    """The provider's refusal of a request."""


class OpenIdServer:
    """Knows one client and one person; `lie` changes an ID token's claims before they are signed.

    What else is not as it should be is set on it by the test; where `declines`, the person
    does not let it tell who he is.
    """

    def __init__(self) -> None:
        self.issuer = ""
        self.redirect_uri = REDIRECT_URI
        self.declines = False
        self.algorithm = "RS256"
        self.kid = "1"
        self.keys = {"1": "RS256"}
        self.person: Claims = {"sub": "0042", "email": "Anna@Example.org", "email_verified": True}
        self.lie: Callable[[Claims], Claims] = lambda claims: claims
        self.sign: Callable[[Claims], str] = self._sign
        self.user_info: Claims | None = None
        self.discovery: Claims = {}
        self.methods = ["client_secret_basic"]
        self.failing: set[str] = set()
        self.asked: list[str] = []
        self.hanging = threading.Event()
        self.hanging.set()
        self._codes: dict[str, dict[str, str]] = {}
        self._access_tokens: set[str] = set()

    def sign_in(self, url: str) -> tuple[str, str]:
        """Do what a person and his browser do; return the state and the code they bring back."""
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query, strict_parsing=True))
        if f"{parts.scheme}://{parts.netloc}{parts.path}" != f"{self.issuer}/authorize":
            raise Refused(url)
        fixed = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": self.redirect_uri,
            "code_challenge_method": "S256",
        }
        if any(asked[name] != value for name, value in fixed.items()):
            raise Refused(asked)
        if not {"openid", "email"} <= set(asked["scope"].split()):
            raise Refused(asked)
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        return asked["state"], code

    def sent_back(self, url: str) -> str:
        """Do the same, where his browser does its part; return the address that it is sent to."""
        state, code = self.sign_in(url)
        answer = {"error": "access_denied"} if self.declines else {"code": code}
        return f"{self.redirect_uri}?{urlencode({'state': state, **answer})}"

    def token(self, form: dict[str, str], authorization: str) -> Claims:
        """Answer as RFC 6749 §4.1.3 and RFC 7636 §4.6 want it."""
        if self.methods == ["client_secret_basic"]:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
            client = tuple(map(unquote_plus, pair))
        else:
            client = form["client_id"], form.get("client_secret", "")
        if client != (CLIENT_ID, CLIENT_SECRET) or form["grant_type"] != "authorization_code":
            raise Refused(form)
        asked = self._codes.pop(form["code"], None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            raise Refused(form)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if challenge != asked["code_challenge"]:
            raise Refused(form)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 600,
            "nonce": asked["nonce"],
            **self.person,
        }
        access_token = secrets.token_urlsafe()
        self._access_tokens.add(access_token)
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "id_token": self.sign(self.lie(claims)),
        }

    def answer(self, method: str, path: str, body: str, authorization: str) -> Claims:
        """Answer a request, whatever it is."""
        self.asked.append(path)
        self.hanging.wait(10)
        match method, path:
            case "GET", "/.well-known/openid-configuration":
                return {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "none"],
                    "token_endpoint_auth_methods_supported": self.methods,
                    "something_else": {"nested": True},
                    **self.discovery,
                }
            case "GET", "/keys":
                return {"keys": [self._jwk(kid, name) for kid, name in self.keys.items()]}
            case "POST", "/token":
                form = {
                    name: values[0]
                    for name, values in parse_qs(body, keep_blank_values=True).items()
                }
                return self.token(form, authorization)
            case "GET", "/userinfo":
                if authorization.removeprefix("Bearer ") not in self._access_tokens:
                    raise Refused(authorization)
                return self.person if self.user_info is None else self.user_info
            case _:
                raise Refused(path)

    def _sign(self, claims: Claims) -> str:
        headers = {"kid": self.kid}
        return jwt.encode(claims, KEYS[self.algorithm], self.algorithm, headers=headers)

    def _jwk(self, kid: str, algorithm: str) -> Claims:
        public = KEYS[algorithm].public_key()
        jwk: Claims = {
            "RS256": lambda: RSAAlgorithm.to_jwk(public, as_dict=True),
            "ES256": lambda: ECAlgorithm.to_jwk(public, as_dict=True),
            "EdDSA": lambda: OKPAlgorithm.to_jwk(public, as_dict=True),
        }[algorithm]()
        return {**jwk, "kid": kid, "use": "sig"}


@contextmanager
def openid_server() -> Iterator[OpenIdServer]:
    """Serve one for the length of the block."""
    provider = OpenIdServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/authorize?"):
                self._send_back()
            else:
                self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def log_message(self, *_: object) -> None:
            pass

        def _send_back(self) -> None:
            try:
                location = provider.sent_back(provider.issuer + self.path)
            except Refused:
                self.send_error(400)
                return
            self.send_response(302)
            self.send_header("location", location)
            self.send_header("content-length", "0")
            self.end_headers()

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length).decode()
            authorization = self.headers.get("authorization", "")
            try:
                status, answer = 200, provider.answer(method, self.path, body, authorization)
            except Refused:
                status, answer = 400, {"error": "invalid_request"}
            if self.path in provider.failing:
                status, answer = 503, {}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield provider
        finally:
            provider.hanging.set()
            server.shutdown()
            thread.join()
