-- Health of a RetrainPolicy: can its champion answer, and can the policy do its work? A run or an experiment
-- under way is everyday life, hence Healthy; the message names it.

-- The condition of that type; one that says nothing where there is none.
local function condition(wanted)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == wanted then
        return found
      end
    end
  end
  return { status = "", reason = "", message = "" }
end

-- Whether the operator has decided on the spec as it is now.
local function is_current(stated)
  return stated ~= nil
    and stated.observedGeneration ~= nil
    and stated.observedGeneration >= (obj.metadata.generation or 0)
end

-- Not ready since before its model came into service: still starting, as a new Deployment is. A policy that was
-- ready and is not any more has lost its model. (Times are RFC 3339 in UTC, so their order is that of the texts.)
local function is_starting(ready)
  local champion = obj.status.champion
  return champion ~= nil and champion.promotedTime ~= nil and ready.lastTransitionTime <= champion.promotedTime
end

local ready, stalled = condition("Ready"), condition("Stalled")

if stalled.status == "True" and is_current(stalled) then
  return { status = "Degraded", message = stalled.message }
end
if ready.reason == "Error" and is_current(ready) then
  return { status = "Progressing", message = ready.message }
end
if not is_current(obj.status) then
  return { status = "Progressing", message = "waiting for the operator to look at this spec" }
end
if obj.spec.suspend then
  return { status = "Suspended", message = ready.message }
end
if condition("Reconciling").status == "True" then
  return { status = "Progressing", message = condition("Reconciling").message }
end
if ready.status == "False" then
  return { status = is_starting(ready) and "Progressing" or "Degraded", message = ready.message }
end
if ready.status ~= "True" then
  return { status = "Progressing", message = ready.message }
end

local message = ready.message
for _, wanted in ipairs({ "Training", "Experimenting" }) do
  local stated = condition(wanted)
  local has_failed = wanted == "Training" and (obj.status.consecutiveFailures or 0) > 0
  if stated.status ~= "False" or has_failed then
    message = message .. "; " .. stated.message
  end
end
if condition("AwaitingApproval").status == "True" then
  message = message .. "; " .. condition("AwaitingApproval").message
end
if condition("Triggered").status == "Unknown" then
  message = message .. "; " .. condition("Triggered").message
end
return { status = "Healthy", message = message }
