-- Asks for the end of the experiment: all traffic to the candidate.
-- The operator executes an id once: this one is new every second, and never that of another action.
local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["retrainer.dev/request"] = "promote/argocd-promote-" .. os.time()
return obj
