-- Health of an ABExperiment. A sync waits while an object is Progressing, so an experiment is Progressing only
-- until it can start; the weeks that it then takes are Healthy. A kept baseline is a proper end, hence Healthy too.

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

local succeeded, stalled, route = condition("Succeeded"), condition("Stalled"), condition("RouteApplied")

if stalled.status == "True" and is_current(stalled) then
  return { status = "Degraded", message = stalled.message }
end
if succeeded.reason == "Error" and is_current(succeeded) then
  return { status = "Progressing", message = succeeded.message }
end
if not is_current(obj.status) then
  return { status = "Progressing", message = "waiting for the operator to look at this spec" }
end
if route.status == "False" and route.reason == "RouteRefused" then
  return { status = "Degraded", message = route.message }
end
if succeeded.status == "False" then
  return { status = "Degraded", message = succeeded.message }
end
if succeeded.status == "True" then
  return { status = "Healthy", message = succeeded.message }
end
if condition("AwaitingDecision").status == "True" or obj.status.paused or obj.spec.suspend then
  return { status = "Suspended", message = succeeded.message }
end
if condition("Reconciling").status == "True" then
  return { status = "Progressing", message = condition("Reconciling").message }
end
if condition("SampleRatioOK").status == "False" then
  return { status = "Degraded", message = condition("SampleRatioOK").message }
end
return { status = "Healthy", message = succeeded.message }
