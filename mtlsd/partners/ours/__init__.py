"""Our own side: the organizations, the hosts, and the key pairs of both."""
