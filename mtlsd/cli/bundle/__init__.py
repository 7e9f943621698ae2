"""`mtlsd export` and `mtlsd import`: the security material of a machine, sealed."""
