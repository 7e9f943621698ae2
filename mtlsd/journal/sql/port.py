"""The port: what a database does for `SQLJournal` and `SQLProof`, which are the same for every database.

A `Port` lends `Statements` for as long as a transaction lasts, and `Statements` run the queries of the `.sql` files by
their names. Everything in which two databases differ is behind these two.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from mtlsd.journal.model import Attempt, Message, Refusal
from mtlsd.journal.sql.rows import Row

Values = Mapping[str, object] | tuple[object, ...]  # by name; or those of a whole record, in the order of its columns
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
        """Run a query once for each of many; however many they are, the round trips are few."""

    def each_changed(self, query: str, many: Sequence[Values]) -> Sequence[bool]:
        """As `each`; return of each whether it changed a row."""

    def each_one(self, query: str, many: Sequence[Values]) -> Sequence[Row | None]:
        """As `each`; return the first row of each."""

    def lock_chain(self, node: str) -> None:
        """Let nobody else enter anything in the chain of this node until the commit. It is the last lock to take."""

    def delete_securely(self) -> None:
        """Overwrite what is deleted from now on, if this database can do so."""


class Port(Protocol):
    """A database that is open. Its errors are raised as `SpoolFull`, `JournalUnavailable` and `CommitUnclear`."""

    def read(self) -> AbstractContextManager[Statements]:
        """Lend a connection for reading; each query sees what is committed when it begins."""

    def read_one_moment(self) -> AbstractContextManager[Statements]:
        """As `read`; all queries see the same."""

    def write(self, work: Callable[[Statements], Result]) -> Result:
        """Do work in one transaction, which is durable on return; do it again if the database gave that one up."""

    def accept(self, work: Callable[[Statements], Result]) -> Result:
        """As `write`, for new messages: `is_settled` and `wait_for_earlier_life` know that it is under way."""

    def is_settled(self) -> bool:
        """Whether no `accept` of this node is under way any more, even one whose connection was lost."""

    def wait_for_earlier_life(self) -> None:
        """Return when no `accept` of an earlier process of this node is under way."""

    def probe(self) -> None:
        """Make a durable write that changes nothing."""

    def as_kept(self, record: Record) -> Record:
        """The record as it will be read again; the chain is about that one."""

    def close(self) -> None:
        """Close every connection."""
