"""Who asks: versions of the protocol, and users of version 3 in the client library's words."""

from __future__ import annotations

from gufo.snmp import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    DesKey,
    Md5Key,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpVersion,
    User,
)
from gufo.snmp.user import BaseAuthKey, BasePrivKey

from exporters.facility.driver import PollError, Reason, Secret

VERSIONS = {"1": SnmpVersion.v1, "2c": SnmpVersion.v2c, "3": SnmpVersion.v3}
_AUTHENTICATION: dict[str, type[BaseAuthKey]] = {
    "md5": Md5Key,
    "sha": Sha1Key,
    "sha224": Sha224Key,
    "sha256": Sha256Key,
    "sha384": Sha384Key,
    "sha512": Sha512Key,
}
_PRIVACY: dict[str, type[BasePrivKey]] = {
    "des": DesKey,
    "aes128": Aes128Key,
    "aes192": Aes192Key,
    "aes256": Aes256Key,
}


def version_of(secret: Secret) -> str:
    """1, 2c or 3; what the settings leave out follows from whether there is a user."""
    return secret.version or ("3" if secret.username else "2c")


def user_of(secret: Secret) -> User:
    """The user of version 3. PollError(AUTH) for what the protocol does not allow."""
    if not secret.username:
        raise PollError(Reason.AUTH, "SNMP version 3 needs a user name in the credentials")
    authentication = privacy = None
    if secret.auth_protocol:
        kind = _AUTHENTICATION.get(secret.auth_protocol)
        if kind is None:
            raise PollError(Reason.AUTH, f"auth_protocol is not one of {', '.join(_AUTHENTICATION)}")
        authentication = kind(_password(secret.password, "password"))
    if secret.privacy_protocol:
        cipher = _PRIVACY.get(secret.privacy_protocol)
        if cipher is None:
            raise PollError(Reason.AUTH, f"privacy_protocol is not one of {', '.join(_PRIVACY)}")
        if authentication is None:
            raise PollError(Reason.AUTH, "privacy_protocol needs an auth_protocol as well")
        privacy = cipher(_password(secret.privacy_password or secret.password, "privacy_password"))
    return User(secret.username, auth_key=authentication, priv_key=privacy)


def _password(text: str, field: str) -> bytes:
    if len(text) < 8:
        raise PollError(Reason.AUTH, f"{field} has fewer than 8 characters, which SNMP version 3 forbids")
    return text.encode()
