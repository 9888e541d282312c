-- What a person can ask of an ABExperiment at the moment. Before the start it can only be aborted; a verdict is final.
local status = obj.status or {}

local awaits, lost, conflict = false, false, false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "AwaitingDecision" and condition.status == "True" then
    awaits = true
    lost = condition.reason == "LedgerLost"
  end
  if condition.type == "Stalled" and condition.status == "True" then
    conflict = condition.reason == "NameConflict"
  end
end

-- A request that is there when the object is first seen is not executed.
local open = status.observedGeneration ~= nil and status.decision == nil and not conflict
local started = open and status.startTime ~= nil
local paused = status.paused == true

return {
  promote = {
    disabled = not started,
    iconClass = "fa fa-fw fa-arrow-alt-circle-up",
    displayName = "Promote the candidate",
  },
  abort = {
    disabled = not open,
    iconClass = "fa fa-fw fa-undo",
    displayName = "Abort: back to the baseline",
  },
  pause = {
    disabled = not started or paused or awaits,
    iconClass = "fa fa-fw fa-pause-circle",
    displayName = "Pause at this weight",
  },
  resume = {
    disabled = not started or not paused or lost,
    iconClass = "fa fa-fw fa-play-circle",
    displayName = "Resume",
  },
}
