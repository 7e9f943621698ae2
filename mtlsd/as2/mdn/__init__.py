"""Receipts (MDN, RFC 4130, section 7): `build` makes ours, `verify` judges those of others; `pyas2` uses pyas2lib."""
