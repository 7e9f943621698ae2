"""The journal: every message and every promise, on disk before a receipt is sent.

`Message`, `Refusal`, `Delivery` and `Attempt` are the records, and `Journal` has the methods for them. The records are
in one file (`SQLiteJournal`) or in a database that several nodes share (`PostgresJournal`). `open_journal` opens the
journal at a `Place`. A small `Document` is stored inside the journal, a large document in the `Spool`.

Everything that is written is also entered in a hash chain: `Proof` has the methods for the chain, `checkpoints` are its
signed heads, and `verify` checks that the records still match the chain.
"""
