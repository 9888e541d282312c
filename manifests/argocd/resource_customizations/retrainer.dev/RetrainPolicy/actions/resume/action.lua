-- The policy does its work again.
obj.spec.suspend = false
return obj
