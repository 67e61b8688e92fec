"""How the best schedule is found: strategies as pure generators, and the driver that feeds them."""
