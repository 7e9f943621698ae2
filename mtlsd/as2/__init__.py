"""AS2 (RFC 4130): octets in; a verified message and its receipt out. No sockets, no files, no clock.

A message is a nest of layers, read from the outside in as its octets arrive (`layers`): MIME entities (`mime`), CMS
(`cms`, on `der`), decryption (`envelope`), decompression (`compression`), signature and MIC (`signature`, `mic`).
`Receiver` drives them. `mdn` builds the receipt. `compose` makes the messages of the test partner from a `draft`, with
`signing` and `sealing`. `pyas2` is the home of pyas2lib: it reads MDNs, and never sees a message.
"""

from mtlsd.as2.agreement import Agreement, Limits
from mtlsd.as2.answers import JudgedMDN, judge_mdn, read_unverified
from mtlsd.as2.compose import BuiltMessage, compose
from mtlsd.as2.detached import SignedEntity, open_detached, split_detached, verify_detached
from mtlsd.as2.disposition import Disposition
from mtlsd.as2.draft import Compression, Document, Draft, Encryption, MDNRequest, Signing
from mtlsd.as2.explain import Candidate, explain
from mtlsd.as2.headers import AS2Headers, AS2Name, ReceiptRequest, algorithm_of, choose_mic
from mtlsd.as2.hints import Hints, ReadAgain
from mtlsd.as2.layers import Evidence, Layer
from mtlsd.as2.mdn import MDN, Receipt, build_mdn
from mtlsd.as2.mic import DIGESTS, MIC
from mtlsd.as2.mime import ContentType
from mtlsd.as2.oddities import oddities
from mtlsd.as2.passphrases import open_with_key, open_with_passphrase, seal_to, seal_with
from mtlsd.as2.pyas2 import MAX_MDN_SIZE, ReceivedMDN, read_mdn
from mtlsd.as2.receiver import PayloadReceived, Receiver, SealedMessage, VerifiedMessage
from mtlsd.as2.sealing import ENCRYPT_ALGORITHMS, KEY_ALGORITHMS
from mtlsd.as2.signing import Padding

__all__ = [
    "DIGESTS",
    "ENCRYPT_ALGORITHMS",
    "KEY_ALGORITHMS",
    "MAX_MDN_SIZE",
    "MDN",
    "MIC",
    "AS2Headers",
    "AS2Name",
    "Agreement",
    "BuiltMessage",
    "Candidate",
    "Compression",
    "ContentType",
    "Disposition",
    "Document",
    "Draft",
    "Encryption",
    "Evidence",
    "Hints",
    "JudgedMDN",
    "Layer",
    "Limits",
    "MDNRequest",
    "Padding",
    "PayloadReceived",
    "ReadAgain",
    "Receipt",
    "ReceiptRequest",
    "ReceivedMDN",
    "Receiver",
    "SealedMessage",
    "SignedEntity",
    "Signing",
    "VerifiedMessage",
    "algorithm_of",
    "build_mdn",
    "choose_mic",
    "compose",
    "explain",
    "judge_mdn",
    "oddities",
    "open_detached",
    "open_with_key",
    "open_with_passphrase",
    "read_mdn",
    "read_unverified",
    "seal_to",
    "seal_with",
    "split_detached",
    "verify_detached",
]
