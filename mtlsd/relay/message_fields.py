"""The header fields of an AS2 message for a backend that gets the message itself: each has one reading.

The backend reads the header once more, and may read it differently. So AS2-From and AS2-To are written anew from what
was proved, and of a field that the client sent more than once, only the first is passed on, which is the one that was
read here. docs/as2.md has the rule for each field.
"""

import re

from mtlsd.journal.model import HeaderPairs, Message
from mtlsd.partners.as2_ids import as_field

_OF_THE_MESSAGE = re.compile(  # the fields of an AS2 message; all others belong to the hop, or could be forged
    r"(?:as2-|ediint-|disposition-notification-)[a-z0-9-]+"
    r"|content-(?:type|transfer-encoding|disposition|description|id|md5)"
    r"|mime-version|message-id|subject|date|from|to|recipient-address|user-agent"
)
_OURS = ("client-cert", "client-cert-chain", "content-digest", "forwarded", "idempotency-key")


def fields_of_the_message(message: Message) -> HeaderPairs:
    """The fields that belong to AS2, for the header of our own request."""
    return tuple(field for field in _with_one_reading(message) if _OF_THE_MESSAGE.fullmatch(field[0].lower()))


def fields_for_a_file(message: Message) -> HeaderPairs:
    """All fields except those that could be mistaken for ours in any spelling."""
    return tuple(field for field in _with_one_reading(message) if not _is_ours(field[0]))


def _with_one_reading(message: Message) -> HeaderPairs:
    proved = {"as2-from": as_field(message.as2_from), "as2-to": as_field(message.as2_to)}
    first: dict[str, tuple[str, str]] = {}
    for name, value in message.headers:
        first.setdefault(name.lower(), (name, proved.get(name.lower(), value)))
    return tuple(first.values())


def _is_ours(name: str) -> bool:
    plain = name.lower().replace("_", "-")
    return plain.startswith(("mtlsd-", ":")) or plain in _OURS
