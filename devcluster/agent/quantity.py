"""Kubernetes quantities (`500m`, `16Gi`) as exact numbers."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

_FACTORS = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000) ** n for n, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Fraction(1024) ** n for n, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


class Quantities(dict[str, Fraction]):
    """Amounts by resource name; a resource that is not named counts as 0."""

    @staticmethod
    def parse(text: str) -> Fraction:
        """Raises ValueError for what the API server would refuse too."""
        try:
            # Also the exponent form, `1e3`.
            return Fraction(text)
        except ValueError:
            digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
            return Fraction(digits) * _FACTORS[text[len(digits) :]]

    @classmethod
    def of(cls, texts: Mapping[str, str] | None) -> "Quantities":
        return cls({name: cls.parse(str(text)) for name, text in (texts or {}).items()})

    @classmethod
    def total(cls, parts: Iterable["Quantities"]) -> "Quantities":
        result = cls()
        for part in parts:
            for name, amount in part.items():
                result[name] = result.get(name, Fraction(0)) + amount
        return result

    @classmethod
    def most(cls, parts: Iterable["Quantities"]) -> "Quantities":
        result = cls()
        for part in parts:
            for name, amount in part.items():
                result[name] = max(result.get(name, Fraction(0)), amount)
        return result

    def lacking(self, wanted: "Quantities") -> list[str]:
        """Names of the resources of which there is less than wanted."""
        return sorted(name for name, amount in wanted.items() if amount > self.get(name, Fraction(0)))

    def less(self, used: "Quantities") -> "Quantities":
        return Quantities({name: amount - used.get(name, Fraction(0)) for name, amount in self.items()})
