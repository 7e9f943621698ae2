"""How a delivery is made and what its outcome means. Pure."""
