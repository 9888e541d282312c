-- Asks to stop the run.
-- The operator executes an id once: this one is new every second, and never that of another action.
local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["retrainer.dev/request"] = "cancel/argocd-cancel-" .. os.time()
return obj
