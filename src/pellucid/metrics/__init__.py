"""How good it is: every official protocol over one matching engine."""
