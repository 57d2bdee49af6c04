"""Errors that a user can mend. Whatever reaches the command line as one of these is printed as one line."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a field, an argument, a missing tool.

    The message names the file or device, the field, what was wrong and what is allowed.
    The command line prints it on one line and exits with 1.
    """


class FileError(UserError):
    """One field of one file is wrong."""

    def __init__(
        self, path: object, field: str, problem: str, remedy: str = "", line: int | None = None
    ) -> None:
        place = f"{path}:{line}" if line is not None else str(path)
        parts = [place, field, problem] if field else [place, problem]
        text = ": ".join(" ".join(part.split()) for part in parts)
        super().__init__(f"{text}; {' '.join(remedy.split())}" if remedy else text)
        self.path = str(path)
        self.field = field
        self.line = line
