-- Health of a FeedbackSource: can it be read, and can what was read be used?

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

local ready, stalled, trusted = condition("Ready"), condition("Stalled"), condition("DataTrusted")

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
if ready.status == "False" then
  return { status = "Degraded", message = ready.message }
end
if ready.status ~= "True" then
  return { status = "Progressing", message = ready.message }
end
if trusted.status == "False" then
  return { status = "Degraded", message = trusted.message }
end
return { status = "Healthy", message = ready.message }
