"""How settings say that TLS is spoken with a server or device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from gigawatch.config import Strict


class TlsSettings(Strict):
    """Files as in the file of settings: from its own directory. `server_name` is the name that the
    certificate must bear, where it is not the host of the address."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: Annotated[str, Field(max_length=253, pattern=r"^\S*$")] = ""
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together; give both or none")
        return self
