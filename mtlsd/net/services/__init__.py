"""What connections and background tasks share: `state`, the group commit, what is known of revocation."""
