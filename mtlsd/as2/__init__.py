"""AS2 (RFC 4130): octets in; a verified message and its receipt out. No sockets, no files, no clock.

A message is a nest of layers, read from the outside in as its octets arrive (`layers`): MIME entities (`mime`), CMS
(`cms`, on `der`), decryption (`envelope`), decompression (`compression`), signature and MIC (`signature`, `mic`).
`Receiver` drives them. `mdn` builds the receipt. `pyas2` is the home of pyas2lib: it builds messages for the test
partner and reads MDNs, and never sees a message that came from outside.
"""

from mtlsd.as2.agreement import Agreement, Limits
from mtlsd.as2.answers import JudgedMDN, judge_mdn
from mtlsd.as2.detached import SignedEntity, open_detached, verify_detached
from mtlsd.as2.disposition import Disposition
from mtlsd.as2.explain import Candidate, explain
from mtlsd.as2.headers import AS2Headers, AS2Name, ReceiptRequest, algorithm_of, choose_mic
from mtlsd.as2.hints import Hints, ReadAgain
from mtlsd.as2.mdn import MDN, Receipt
from mtlsd.as2.mdn import build as build_mdn
from mtlsd.as2.mic import MIC
from mtlsd.as2.mime import ContentType
from mtlsd.as2.pyas2 import (
    ENCRYPT_ALGORITHMS,
    SIGN_ALGORITHMS,
    BuiltMessage,
    MDNRequest,
    ReceivedMDN,
    Sender,
    read_mdn,
)
from mtlsd.as2.receiver import PayloadReceived, Receiver, SealedMessage, VerifiedMessage

__all__ = [
    "ENCRYPT_ALGORITHMS",
    "MDN",
    "MIC",
    "SIGN_ALGORITHMS",
    "AS2Headers",
    "AS2Name",
    "Agreement",
    "BuiltMessage",
    "Candidate",
    "ContentType",
    "Disposition",
    "Hints",
    "JudgedMDN",
    "Limits",
    "MDNRequest",
    "PayloadReceived",
    "ReadAgain",
    "Receipt",
    "ReceiptRequest",
    "ReceivedMDN",
    "Receiver",
    "SealedMessage",
    "Sender",
    "SignedEntity",
    "VerifiedMessage",
    "algorithm_of",
    "build_mdn",
    "choose_mic",
    "explain",
    "judge_mdn",
    "open_detached",
    "read_mdn",
    "verify_detached",
]
