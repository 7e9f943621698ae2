"""What we promised, on disk before we promised it.

`Message`, `Refusal`, `Delivery` and `Attempt` are the records; `Journal` is what can be done with them. `SQLJournal`
does it by SQL, in one file (`SQLiteJournal`) or in a database that several nodes share (`PostgresJournal`). The
function `open_journal` opens the one that a `Place` names. A small `Document` is kept inside the journal, a large one
in the `Spool`.

What is written is entered in a hash chain as well: `Proof` is what can be done with it, `checkpoints` are what is
signed of it, and `verify` says whether all of it still fits.
"""
