"""Addresses to listen at, as settings write them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from gigawatch.errors import UserError
from gigawatch.serving import parse_listen


def checked_listen(text: str) -> str:
    """The same text; ValueError where it is neither HOST:PORT nor :PORT."""
    try:
        parse_listen(text)
    except UserError as error:
        raise ValueError(str(error)) from None
    return text


Listen = Annotated[str, AfterValidator(checked_listen)]
"""A setting that holds an address to listen at."""
