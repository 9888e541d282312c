"""Replaces paths of a container by the real ones, where they begin a value.

Containers are processes of this machine without a root file system of their own. What a manifest
mounts at `/data` lies somewhere below the state directory; so arguments, environment values and
mounted ConfigMap files that name `/data` or `/data/…` are changed to name the real place.
"""

import re
from collections.abc import Mapping

# A path counts where a value may begin: at the start, after a space, quote or separator, or after
# the scheme of a URL that names a local file.
_BEFORE = r"(?:(?<![^\s'\"=\[({,;:<>|&`])|(?<=file://)|(?<=sqlite:///))"
_AFTER = r"(?=$|[/\s'\"\])},;:<>|&`?#*])"


class Rewriter:
    """Knows the places of one container: path in the container → real path."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = {path.rstrip("/"): real for path, real in places.items() if path.rstrip("/")}
        # The longest first, because mounts may lie inside each other.
        ordered = sorted(self.places, key=len, reverse=True)
        alternatives = "|".join(re.escape(path) for path in ordered)
        self._pattern = re.compile(f"{_BEFORE}(?:{alternatives}){_AFTER}") if ordered else None

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self.places[match[0]], text)
