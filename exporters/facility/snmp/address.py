"""Addresses of SNMP agents."""

from __future__ import annotations

from gigawatch.errors import UserError

PORT = 161
_FORM = "allowed: HOST, HOST:PORT or [IPV6]:PORT"


def parse_address(text: str) -> tuple[str, int]:
    """Host and port. UserError if it is neither a name nor an address with an optional port."""
    host, port = text.strip(), str(PORT)
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UserError(f"address {text!r} has an open bracket; {_FORM}")
        port = rest[1:] if rest else port
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    elif ":" in host:
        raise UserError(f"address {text!r} has several colons; put an IPv6 address in brackets; {_FORM}")
    if not host or "/" in host or any(character.isspace() for character in host):
        raise UserError(f"address {text!r} names no host; {_FORM}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UserError(f"address {text!r} has port {port!r}; allowed: 1 to 65535")
    return host, int(port)
