"""`mtlsd partner`: add, show, disable, enable, remove, and the kit for a partner."""
