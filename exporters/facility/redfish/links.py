"""Which addresses in an answer may be asked: those of the same service, and no others."""

from __future__ import annotations

from urllib.parse import urlsplit

from exporters.facility.driver import PollError, Reason

_LONGEST = 1000
_PORTS = {"http": 80, "https": 443}


def origin_of(address: str) -> str:
    """`https://HOST[:PORT]` of an endpoint's address. Raises PollError(PROFILE)."""
    try:
        parts = urlsplit(address if "//" in address else f"https://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in _PORTS or not host or parts.username or parts.query or parts.fragment:
        raise PollError(Reason.PROFILE, "address: must be https://HOST[:PORT]")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else "")


def local(found: object, origin: str) -> str:
    """The path (and query) of a link within the service, without fragment; empty if it leads elsewhere."""
    if not isinstance(found, str) or len(found) > _LONGEST:
        return ""
    link = found.partition("#")[0].strip().replace(" ", "%20")
    if link.startswith(("http://", "https://")):
        scheme, _, rest = link.partition("://")
        host, slash, path = rest.partition("/")
        try:
            same = origin_of(f"{scheme}://{host}") == origin
        except PollError:
            return ""
        link = slash + path if same else ""
    if not link.startswith("/") or link.startswith(("//", "/\\")):
        return ""
    if not link.isascii() or any(char <= " " or char in '"<>\\^`{|}\x7f' for char in link):
        return ""
    if "/../" in f"{link}/":
        return ""
    return link.rstrip("/") if "?" not in link else link
