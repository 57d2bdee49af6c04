"""TLS of a server: the rules of a web configuration file, and OpenSSL's reading of them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gigawatch.errors import FileError

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    # Asked for and looked at by nobody: as good as none.
    "RequestClientCert": ssl.CERT_NONE,
    # OpenSSL, as Python has it, requires only what it can verify.
    "RequireAnyClientCert": ssl.CERT_REQUIRED,
    "RequireClientCert": ssl.CERT_REQUIRED,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_GCM128, _GCM256 = "AES128-GCM-SHA256", "AES256-GCM-SHA384"
CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": f"ECDHE-ECDSA-{_GCM128}",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": f"ECDHE-ECDSA-{_GCM256}",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": f"ECDHE-RSA-{_GCM128}",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": f"ECDHE-RSA-{_GCM256}",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    # Those of TLS 1.3 are always on, as in the toolkit.
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""Names of the format (Go's), and OpenSSL's."""
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


@dataclass(frozen=True, slots=True)
class TlsRules:
    """Section tls_server_config. Of a text and its file, one is empty; file names are absolute."""

    cert: str = field(repr=False)
    key: str = field(repr=False)
    client_ca: str = field(repr=False)
    cert_file: str
    key_file: str
    client_ca_file: str
    client_auth_type: str
    client_allowed_sans: tuple[str, ...] | None
    min_version: str
    max_version: str
    cipher_suites: tuple[str, ...]
    prefer_server_cipher_suites: bool
    curve: str

    def files(self) -> list[Path]:
        """Files that these rules come from."""
        return [Path(name) for name in (self.cert_file, self.key_file, self.client_ca_file) if name]


def make_context(tls: TlsRules, path: Path) -> ssl.SSLContext:
    """What these rules of the file `path` ask for. Raises FileError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    if tls.cipher_suites:
        names = [CIPHERS[name] for name in tls.cipher_suites if CIPHERS[name]]
        if names:
            context.set_ciphers(":".join(names))
        else:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.curve:
        context.set_ecdh_curve(CURVES[tls.curve])
    try:
        with _as_file(tls.cert, tls.cert_file) as cert, _as_file(tls.key, tls.key_file) as key:
            # An empty password, so that a locked key is an error and not a question on the terminal.
            context.load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise _wrong(path, "tls_server_config.cert_file", error, "a PEM certificate and its key") from None
    if tls.client_ca or tls.client_ca_file:
        try:
            context.load_verify_locations(tls.client_ca_file or None, cadata=tls.client_ca or None)
        except (OSError, ssl.SSLError) as error:
            raise _wrong(path, "tls_server_config.client_ca_file", error, "PEM certificates") from None
    context.verify_mode = CLIENT_AUTH[tls.client_auth_type]
    return context


def _wrong(path: Path, field: str, error: Exception, remedy: str) -> FileError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return FileError(path, field, f"cannot be used ({reason})", f"expected {remedy}")


@contextmanager
def _as_file(text: str, name: str) -> Iterator[str]:
    """The name of the file, or of one in memory that holds the text: keys are never written to a disk."""
    if not text:
        yield name
        return
    descriptor = os.memfd_create("gigawatch", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
