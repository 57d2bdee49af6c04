"""The profiles there are: those that come with Gigawatch, and the site's own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from exporters.facility.snmp.profile import Profile
from gigawatch.config import load_file
from gigawatch.errors import FileError, UserError

BUILT_IN = Path(__file__).parent / "profiles"
OPTION = "snmp_profiles"
"""Option of the settings with the site's folder."""


class Library:
    """Profiles by name. A file of the site's replaces one of ours that has the same name."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self.profiles = {profile.name: profile for profile in profiles}

    @classmethod
    def load(cls, own: Path | None = None) -> Library:
        """Read all files. FileError names the file, the line, the field and what is allowed."""
        return cls([*_built_in(), *(_read(own) if own else ())])

    def named(self, names: str) -> list[Profile]:
        """Profiles from a list with commas, as the inventory has it. UserError for one that is not there."""
        found = []
        for name in filter(None, (part.strip() for part in names.split(","))):
            if name not in self.profiles:
                near = difflib.get_close_matches(name, self.profiles, 1)
                hint = (
                    f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(self.profiles))}"
                )
                raise UserError(f"SNMP profile {name!r} does not exist; {hint}")
            found.append(self.profiles[name])
        return found

    def by_system(self, object_id: str, description: str) -> list[Profile]:
        """Profiles made for what the system group says. The longest sysObjectID comes first."""
        found = []
        for profile in self.profiles.values():
            detect = profile.detect
            lengths = [len(prefix) for prefix in detect.sys_object_ids if _below(object_id, prefix)]
            if not (detect.sys_object_ids or detect.sys_descr) or (detect.sys_object_ids and not lengths):
                continue
            if re.search(detect.sys_descr, description):
                found.append((max(lengths, default=0), profile.name, profile))
        return [profile for *_, profile in sorted(found, key=lambda item: (-item[0], item[1]))]

    def general(self) -> list[Profile]:
        """Profiles of standard MIBs that any device may have."""
        return [
            profile
            for profile in self.profiles.values()
            if profile.detect.answers and not (profile.detect.sys_object_ids or profile.detect.sys_descr)
        ]


def shared_library(options: Mapping[str, str], shared: dict[str, object]) -> Library:
    """The library of this process: read once for all devices."""
    library = shared.get(OPTION)
    if not isinstance(library, Library):
        own = options.get(OPTION, "")
        library = shared[OPTION] = Library.load(Path(own) if own else None)
    return library


@cache
def _built_in() -> tuple[Profile, ...]:
    return tuple(_read(BUILT_IN))


def _read(folder: Path) -> Iterable[Profile]:
    if not folder.is_dir():
        raise FileError(folder, "", "is no folder with SNMP profiles", f"correct {OPTION} in the settings")
    for path in sorted(folder.glob("*.yaml")):
        profile = load_file(path, Profile)
        if profile.name != path.stem:
            raise FileError(path, "name", f"is {profile.name!r}", f"must be as the file's: {path.stem}")
        yield profile


def _below(oid: str, prefix: str) -> bool:
    return oid == prefix or oid.startswith(prefix + ".")
