-- Health of a TrainingRun: as of a Job, Progressing until it ends. A run whose gates failed has done its work and is
-- Healthy; one that could not train, or was cancelled, is Degraded.

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

local succeeded, stalled = condition("Succeeded"), condition("Stalled")

if stalled.status == "True" and is_current(stalled) then
  return { status = "Degraded", message = stalled.message }
end
if succeeded.reason == "Error" and is_current(succeeded) then
  return { status = "Progressing", message = succeeded.message }
end
if not is_current(obj.status) then
  return { status = "Progressing", message = "waiting for the operator to look at this spec" }
end
if succeeded.status == "False" then
  return { status = "Degraded", message = succeeded.message }
end
if succeeded.status == "True" then
  return { status = "Healthy", message = succeeded.message }
end
if obj.spec.suspend then
  return { status = "Suspended", message = succeeded.message }
end
return { status = "Progressing", message = succeeded.message }
