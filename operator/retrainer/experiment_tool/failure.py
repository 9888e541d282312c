"""How a command fails: a sentence with the remedy, and the exit code."""

from __future__ import annotations

DONE = 0
"""The question was answered, whatever the answer is."""
REFUTED = 1
"""The input was understood, but is not what it claims to be, or something needed is not installed."""
UNUSABLE = 2
"""The command line or a file cannot be used; the message names the field and the remedy."""


class CommandError(Exception):
    """Ends a command; its text is for people."""

    code = UNUSABLE


class InputError(CommandError):
    """A file or argument that cannot be used."""


class Refuted(CommandError):
    """A ledger that does not add up to what it says."""

    code = REFUTED


class MissingLibrary(CommandError):
    """Something that this command needs is not installed."""

    code = REFUTED
