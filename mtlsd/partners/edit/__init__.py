"""Changes to the files of partners and organizations, as values before they are written: proposal, merge, bundle."""
