"""Evaluates the CEL rules of our own models, so that a file is refused here with the API server's very words.

Only the part of the language that rules of experiments use: field access, has(), literals, lists, operators, the
macros all, exists, exists_one, filter and map, and a few functions. https://github.com/google/cel-spec,
doc/langdef.md; isSorted is Kubernetes' own. A test holds every rule and every refusal of the API server against it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

Scope = Mapping[str, Any]
Node = Callable[[Scope], Any]
Thunk = Callable[[], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>'[^']*')|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[<>!?:.,()\[\]]))"
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})


class RuleError(ValueError):
    """A rule that cannot be read, or that has no value for this object (a field it needs is absent)."""


def holds(rule: str, value: Any) -> bool:
    """Whether `value` (as `self`) obeys the rule; raises RuleError where the rule has no value for it."""
    return bool(_compiled(rule)({"self": value}))


@lru_cache(maxsize=256)
def _compiled(rule: str) -> Node:
    parser = _Parser(_tokens(rule))
    node = parser.expression()
    if parser.ahead:
        raise RuleError(f"cannot read the rule from {parser.ahead!r} on: {rule}")
    return node


def _tokens(rule: str) -> list[str]:
    tokens, place = [], 0
    while place < len(rule.rstrip()):
        match = _TOKEN.match(rule, place)
        if match is None:
            raise RuleError(f"cannot read {rule[place : place + 20]!r} in the rule: {rule}")
        tokens.append(match.group().strip())
        place = match.end()
    return tokens


@dataclass
class _Parser:
    """Recursive descent, one method per level of precedence; each returns what evaluates the part."""

    tokens: list[str]

    @property
    def ahead(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, *expected: str) -> str:
        if not self.tokens or (expected and self.ahead not in expected):
            raise RuleError(f"expected {' or '.join(expected) or 'more'}, found {self.ahead!r}")
        return self.tokens.pop(0)

    def expression(self) -> Node:
        condition = self._or()
        if self.ahead != "?":
            return condition
        self.take("?")
        yes = self.expression()
        self.take(":")
        no = self.expression()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _or(self) -> Node:
        parts = [self._and()]
        while self.ahead == "||":
            self.take("||")
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else lambda scope: _either(_thunks(parts, scope), True)

    def _and(self) -> Node:
        parts = [self._comparison()]
        while self.ahead == "&&":
            self.take("&&")
            parts.append(self._comparison())
        return parts[0] if len(parts) == 1 else lambda scope: not _either(_thunks(parts, scope), False)

    def _comparison(self) -> Node:
        left = self._unary()
        if self.ahead not in _COMPARISONS:
            return left
        compare = _COMPARISONS[self.take()]
        right = self._unary()
        return lambda scope: compare(left(scope), right(scope))

    def _unary(self) -> Node:
        if self.ahead != "!":
            return self._member()
        self.take("!")
        inner = self._unary()
        return lambda scope: not inner(scope)

    def _member(self) -> Node:
        node = self._primary()
        while self.ahead == ".":
            self.take(".")
            name = self.take()
            if self.ahead != "(":
                node = _Field(node, name)
            elif name in _MACROS:
                node = self._macro(node, name)
            else:
                node = _method(node, name, self._arguments())
        return node

    def _macro(self, collection: Node, name: str) -> Node:
        self.take("(")
        variable = self.take()
        self.take(",")
        body = self.expression()
        self.take(")")
        return lambda scope: _MACRO[name]([(x, _bound(body, scope, variable, x)) for x in collection(scope)])

    def _arguments(self) -> list[Node]:
        return self._listed("(", ")")

    def _listed(self, opening: str, closing: str) -> list[Node]:
        self.take(opening)
        items: list[Node] = []
        while self.ahead != closing:
            items.append(self.expression())
            if self.ahead != closing:
                self.take(",")
        self.take(closing)
        return items

    def _primary(self) -> Node:
        if self.ahead == "(":
            self.take("(")
            inner = self.expression()
            self.take(")")
            return inner
        if self.ahead == "[":
            items = self._listed("[", "]")
            return lambda scope: [item(scope) for item in items]
        return self._word(self.take())

    def _word(self, word: str) -> Node:
        if word.startswith("'"):
            return lambda scope: word[1:-1]
        if word[0].isdigit():
            number = float(word) if "." in word else int(word)
            return lambda scope: number
        if self.ahead != "(":
            return lambda scope: _looked_up(scope, word)
        if word == "has":
            return _present(self._arguments())
        return _function(word, self._arguments())


def _thunks(parts: list[Node], scope: Scope) -> list[Thunk]:
    return [partial(part, scope) for part in parts]


def _either(values: list[Thunk], wanted: bool) -> bool:
    """Whether any value is `wanted`; an absent field matters only where no other value settles it."""
    error: RuleError | None = None
    for value in values:
        try:
            if bool(value()) is wanted:
                return True
        except RuleError as found:
            error = found
    if error is not None:
        raise error
    return False


def _bound(body: Node, scope: Scope, variable: str, value: Any) -> Thunk:
    return lambda: body({**scope, variable: value})


def _any(items: list[tuple[Any, Thunk]], wanted: bool) -> bool:
    return _either([value for _, value in items], wanted)


_MACRO: Mapping[str, Callable[[list[tuple[Any, Thunk]]], Any]] = {
    "all": lambda items: not _any(items, False),
    "exists": lambda items: _any(items, True),
    "exists_one": lambda items: sum(bool(value()) for _, value in items) == 1,
    "filter": lambda items: [x for x, value in items if value()],
    "map": lambda items: [value() for _, value in items],
}


@dataclass(frozen=True)
class _Field:
    """`place.name`, which has() may ask about."""

    place: Node
    name: str

    def __call__(self, scope: Scope) -> Any:
        return _looked_up(self.place(scope), self.name)


def _looked_up(place: Any, name: str) -> Any:
    if not isinstance(place, Mapping) or name not in place:
        raise RuleError(f"{name} is absent")
    return place[name]


def _present(asked: list[Node]) -> Node:
    """has(a.b): whether b is there; that a is absent remains an error."""
    field = asked[0] if len(asked) == 1 else None
    if not isinstance(field, _Field):
        raise RuleError("has() asks about a field")
    return lambda scope: field.name in (field.place(scope) or ())


def _method(node: Node, name: str, arguments: list[Node]) -> Node:
    method = _METHODS.get(name)
    if method is None:
        raise RuleError(f"unknown function {name}()")
    return lambda scope: method(node(scope), *(a(scope) for a in arguments))


def _function(name: str, arguments: list[Node]) -> Node:
    if name != "double":
        raise RuleError(f"unknown function {name}()")
    return lambda scope: _double(arguments[0](scope))


def _double(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise RuleError(f"{value!r} is no number") from error


_METHODS: Mapping[str, Callable[..., Any]] = {
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "size": len,
    "isSorted": lambda items: all(a <= b for a, b in pairwise(items)),
}
