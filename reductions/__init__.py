"""How one question becomes another: coroutines that yield instances and are sent answers."""
