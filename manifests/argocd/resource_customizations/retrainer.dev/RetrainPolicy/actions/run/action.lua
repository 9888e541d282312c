-- Asks for a training run now: triggers and cooldown do not count, minimums and gates do.
-- The operator executes an id once: this one is new every second, and never that of another action.
local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["retrainer.dev/request"] = "run/argocd-run-" .. os.time()
return obj
