"""Runs Lua scripts as Argo CD does: Lua 5.1, a fresh state each time, and only the libraries that its state has.

Argo CD (util/lua) opens `base` and `table`, and lets a script require "os", of which only `time` and `date` exist.
There is no `string`, so that texts have no methods either, and no `math`, `io`, `coroutine` or `debug`. The object is
the global `obj`; parameters of an action are the global `actionParams`, which older versions do not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lupa.lua51 import LuaError, LuaRuntime, lua_type

NOW = 1_795_262_400
"""The seconds that os.time tells: 2026-11-21T12:00:00Z."""

_SANDBOX = """
local now, date = ...
local kept = {}
for _, name in ipairs({
  "_G", "_VERSION", "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "print", "rawequal",
  "rawget", "rawset", "select", "setmetatable", "table", "tonumber", "tostring", "type", "unpack", "xpcall",
}) do
  kept[name] = true
end
getmetatable("").__index = nil
local safe_os = { time = function() return now end, date = date }
for name in pairs(_G) do
  if not kept[name] then
    _G[name] = nil
  end
end
function require(name)
  if name ~= "os" then
    error("module " .. tostring(name) .. " not found")
  end
  return safe_os
end
"""


class ScriptError(Exception):
    """What Argo CD shows when a script fails; a message raised with level 0 comes without a position."""


def run(script: str, obj: Any, params: Mapping[str, str] | None = None, now: int = NOW) -> Any:
    """The value that the script returns, as plain Python data; an empty table is an empty list, as in Argo CD.

    `params` None is an Argo CD that knows no parameters. Raises ScriptError.
    """
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_SANDBOX, now, lua.eval("os.date"))
    lua.globals()["python"] = None
    lua.globals()["obj"] = _to_lua(lua, obj)
    if params is not None:
        lua.globals()["actionParams"] = _to_lua(lua, dict(params))
    try:
        return _from_lua(lua.execute(script))
    except LuaError as error:
        raise ScriptError(str(error)) from None


def changed(script: str, obj: Any, params: Mapping[str, str] | None = None, now: int = NOW) -> Any:
    """The object that an action returns, with empty objects where they were: Argo CD mends them, too."""
    return _with_empty_objects(run(script, obj, params, now), obj)


def merge_patch(before: Any, after: Any) -> Any:
    """The JSON merge patch (RFC 7386) that leads from one to the other, as Argo CD sends it to the API server."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    gone: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    return gone | {key: merge_patch(before.get(key), after[key]) for key in after if before.get(key) != after[key]}


def _to_lua(lua: LuaRuntime, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, item) for key, item in value.items() if item is not None})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, item) for item in value])
    return value


def _from_lua(value: Any) -> Any:
    if lua_type(value) != "table":
        return value
    items = {key: _from_lua(item) for key, item in value.items()}
    if set(items) == set(range(1, len(items) + 1)):
        return [items[position] for position in sorted(items)]
    assert all(isinstance(key, str) for key in items), "neither a list nor an object: it has no form in JSON"
    return items


def _with_empty_objects(new: Any, old: Any) -> Any:
    if new == [] and old == {}:
        return {}
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _with_empty_objects(item, old.get(key)) for key, item in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        padded = [*old, *[None] * len(new)]
        return [_with_empty_objects(item, other) for item, other in zip(new, padded, strict=False)]
    return new
