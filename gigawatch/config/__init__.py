"""Typed settings: file, then environment; errors that name the file, the line, the field and the remedy."""

from gigawatch.config.load import Strict, load_file, parse_duration, read_mapping, read_secret

__all__ = ["Strict", "load_file", "parse_duration", "read_mapping", "read_secret"]
