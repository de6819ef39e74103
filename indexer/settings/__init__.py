"""Settings: how they are declared, where their values come from, and what is made of them."""
