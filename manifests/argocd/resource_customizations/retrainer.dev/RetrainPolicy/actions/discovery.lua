-- What a person can ask of a RetrainPolicy at the moment: one run and one candidate at a time, an answer where one is
-- waited for, nothing while suspended or pinned.
local status = obj.status or {}
local suspended = obj.spec.suspend == true
-- A request that is there when the object is first seen is not executed.
local listens = status.observedGeneration ~= nil and not suspended and obj.spec.model.pin == nil

local busy = status.activeRun ~= nil or status.pendingRun ~= nil
local former, latest, awaiting = false, nil, nil
for _, revision in ipairs(status.revisions or {}) do
  if revision.state == "Candidate" then
    busy = true
  end
  if revision.state == "AwaitingApproval" then
    busy, awaiting = true, revision.revision
  end
  if revision.state == "Retired" or revision.state == "RolledBack" then
    former = true
  end
  if revision.state == "Retired" and (latest == nil or revision.time > latest.time) then
    latest = revision
  end
end

-- Where a person must act first, a run would start whenever that is done.
local stalled = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    stalled = true
  end
end

-- The annotation of a rollback must stay until it is done, which may take minutes; only another one may replace it.
local request = (obj.metadata.annotations or {})["retrainer.dev/request"]
local waits = request ~= nil and request ~= status.lastHandledRequest

local rollback = "Roll back to a revision"
if latest ~= nil then
  rollback = "Roll back to revision " .. latest.revision .. ", or another"
end

local approve, reject = "Approve a revision", "Reject a revision"
if awaiting ~= nil then
  approve, reject = "Approve revision " .. awaiting, "Reject revision " .. awaiting
end

return {
  approve = {
    disabled = not listens or awaiting == nil or waits,
    iconClass = "fa fa-fw fa-check-circle",
    displayName = approve,
  },
  reject = {
    disabled = not listens or awaiting == nil or waits,
    iconClass = "fa fa-fw fa-times-circle",
    displayName = reject,
  },
  run = {
    disabled = not listens or busy or stalled or waits,
    iconClass = "fa fa-fw fa-graduation-cap",
    displayName = "Train now",
  },
  rollback = {
    disabled = not listens or not former,
    iconClass = "fa fa-fw fa-history",
    displayName = rollback,
    params = { { name = "revision" } },
  },
  suspend = {
    disabled = suspended,
    iconClass = "fa fa-fw fa-pause-circle",
    displayName = "Suspend",
  },
  resume = {
    disabled = not suspended,
    iconClass = "fa fa-fw fa-play-circle",
    displayName = "Resume",
  },
}
