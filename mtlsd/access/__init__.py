"""Who a client is, and how much it may do. Pure: takes `now`."""
