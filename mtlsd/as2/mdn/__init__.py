"""Receipts (MDN, RFC 4130, section 7): `build` makes ours, `verify` judges theirs, with pyas2lib at home in `pyas2`."""
