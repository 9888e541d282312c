-- What a person can ask of a FeedbackSource at the moment.
local status = obj.status or {}

-- A request that is there when the object is first seen is not executed; a suspended source is not read.
local listens = status.observedGeneration ~= nil and obj.spec.suspend ~= true

return {
  sync = {
    disabled = not listens,
    iconClass = "fa fa-fw fa-sync",
    displayName = "Read the source now",
  },
}
