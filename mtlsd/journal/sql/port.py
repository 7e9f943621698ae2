"""The port: the operations of a database that `Journal` and `Proof` use, which are the same for every database.

A `Port` lends `Statements` during a transaction, and `Statements` run the queries of the `.sql` files by their names.
All differences between databases are behind these two protocols.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from mtlsd.journal.model import Attempt, Message, Refusal
from mtlsd.journal.sql.rows import Row

Values = Mapping[str, object] | tuple[object, ...]  # by name; or the values of a record in the order of its columns
Result = TypeVar("Result")
Record = TypeVar("Record", Message, Refusal, Attempt)


class Statements(Protocol):
    """The queries of the journal, by name, on one connection."""

    def all(self, query: str, /, **values: object) -> Sequence[Row]:
        """Return every row."""

    def one(self, query: str, /, **values: object) -> Row | None:
        """Return the first row, if there is one."""

    def change(self, query: str, /, **values: object) -> int:
        """Return how many rows were changed."""

    def each(self, query: str, many: Sequence[Values]) -> None:
        """Run a query once for each of many, with few round trips."""

    def each_changed(self, query: str, many: Sequence[Values]) -> Sequence[bool]:
        """As `each`; return for each whether it changed a row."""

    def each_one(self, query: str, many: Sequence[Values]) -> Sequence[Row | None]:
        """As `each`; return the first row of each."""

    def lock_chain(self, node: str) -> None:
        """Lock the chain of this node until the commit. This is the last lock that a transaction takes."""

    def delete_securely(self) -> None:
        """Overwrite data that is deleted from now on, if the database can."""


class Port(Protocol):
    """An open database. Its errors are raised as `SpoolFull`, `JournalUnavailable` and `CommitUnclear`."""

    def read(self) -> AbstractContextManager[Statements]:
        """Lend a connection for reading; each query sees the commits before its beginning."""

    def read_one_moment(self) -> AbstractContextManager[Statements]:
        """As `read`; all queries see the same state."""

    def write(self, work: Callable[[Statements], Result]) -> Result:
        """Do the work in one transaction, durable on return; the work is repeated if the database aborts it."""

    def accept(self, work: Callable[[Statements], Result]) -> Result:
        """As `write`, for new messages: `is_settled` and `wait_for_earlier_life` take it into account."""

    def is_settled(self) -> bool:
        """Whether no `accept` of this node is under way, even on a lost connection."""

    def wait_for_earlier_life(self) -> None:
        """Wait until no `accept` of an earlier process of this node is under way."""

    def probe(self) -> None:
        """Make a durable write that changes nothing."""

    def as_kept(self, record: Record) -> Record:
        """The record as it will be read from the database; the chain has digests of this form."""

    def close(self) -> None:
        """Close every connection."""


def read_all(port: Port, query: str, /, **values: object) -> Sequence[Row]:
    """Every row of one query, outside of a transaction."""
    with port.read() as db:
        return db.all(query, **values)


def read_one(port: Port, query: str, /, **values: object) -> Row | None:
    """The first row of one query, outside of a transaction, if there is one."""
    with port.read() as db:
        return db.one(query, **values)
