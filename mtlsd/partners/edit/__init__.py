"""Changes to the files of partners and organizations, as values first: a proposal, a merge, a bundle to move."""
