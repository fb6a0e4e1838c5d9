-- primary: nothing

-- replica-1: nothing
