-- Nothing new starts, and the route is left alone.
obj.spec.suspend = true
return obj
