-- Asks to make an earlier champion champion again: the revision that the parameter names, else the one that was
-- replaced last. (A revision that was left by a rollback is returned to only when it is named.)
-- The operator executes an id once: this one is new every second, and never that of another request.
local os = require("os")

local function latest_retired()
  local latest = nil
  for _, revision in ipairs(obj.status.revisions or {}) do
    if revision.state == "Retired" and (latest == nil or revision.time > latest.time) then
      latest = revision
    end
  end
  return latest
end

local function named(number)
  for _, revision in ipairs(obj.status.revisions or {}) do
    if revision.revision == tonumber(number) and (revision.state == "Retired" or revision.state == "RolledBack") then
      return revision
    end
  end
  error("revision " .. number .. " was never champion; status.revisions lists those that were", 0)
end

-- Versions of Argo CD without parameters of actions do not set actionParams.
local number = actionParams ~= nil and actionParams["revision"] or ""
local target
if number ~= "" then
  target = named(number)
else
  target = latest_retired()
end
if target == nil then
  error("no champion was replaced yet; name the revision to go back to", 0)
end

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
local id = "argocd-rollback-" .. target.revision .. "-" .. os.time()
obj.metadata.annotations["retrainer.dev/request"] = "rollback:" .. target.revision .. "/" .. id
return obj
