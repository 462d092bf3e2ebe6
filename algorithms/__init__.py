"""How fast it is answered: an algorithm takes an instance and returns an answer."""
