-- What a person can ask of a TrainingRun at the moment: to stop while it is under way, to begin again when it failed.
local status = obj.status or {}

local succeeded = "Unknown"
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Succeeded" then
    succeeded = condition.status
  end
end

-- A request that is there when the object is first seen is not executed.
local listens = status.observedGeneration ~= nil

return {
  cancel = {
    disabled = not listens or succeeded ~= "Unknown",
    iconClass = "fa fa-fw fa-stop-circle",
    displayName = "Cancel",
  },
  retry = {
    disabled = not listens or succeeded ~= "False",
    iconClass = "fa fa-fw fa-redo",
    displayName = "Retry",
  },
}
