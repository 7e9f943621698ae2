"""The MIC explainer: every digest that a partner could have taken for the MIC of a message.

Products disagree about the octets that a MIC is over (RFC 4130, section 7.3.1). If a partner reports another value than
ours, one of these candidates shows what the partner hashed: which layer, with or without its MIME header, with which
line ends and with which algorithm.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.headers import AS2Headers
from mtlsd.as2.mic import DIGESTS, MENDELSON_DIGEST, MIC, Form, FormDigests, UnsignedDigests, hashed
from mtlsd.as2.mime.parser import HeaderBlock, HeaderBlockReader
from mtlsd.as2.receiver import Receiver
from mtlsd.as2.second_pass import ReadAgain
from mtlsd.as2.sink import Sink
from mtlsd.errors import AS2Refused
from mtlsd.partners.partner_toml import MICProfile

_NAMES = {"e": "decrypted", "c": "decompressed", "s": "signed part"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One digest, and a description of what was hashed, such as `decrypted, signed part, with header`.

    `profiles` are those whose MIC of this message is this digest, if the partner asks for this algorithm. A signed
    message has none: its MIC does not depend on a profile.
    """

    what: str
    form: Form
    mic: MIC
    profiles: tuple[MICProfile, ...] = ()


def explain(
    headers: AS2Headers, agreement: Agreement, limits: MessageLimits, now: datetime, body: Iterable[bytes]
) -> list[Candidate]:
    """Every candidate for the MIC of a message that was accepted, from the outside in, as far as it can be opened."""
    outermost = _Candidates("body as received")
    observed = [outermost]

    def observe(layers: str, entity: Sink) -> Sink:
        observed.append(_Candidates(", ".join(_NAMES[layer] for layer in layers)))
        return _Both(observed[-1], entity)

    proven = replace(agreement, is_proven=True)
    try:
        receiver = Receiver(headers, proven, limits, now, observe=observe, every_mic=True)
    except AS2Refused:  # an earlier version accepted this header
        return _of_the_body(outermost, body)
    _read(receiver, outermost, body)
    found = [candidate for each in observed for candidate in each.results()]
    return _with_profiles(found, *receiver.unsigned) if receiver.unsigned else found


def _of_the_body(outermost: "_Candidates", body: Iterable[bytes]) -> list[Candidate]:
    for data in body:
        outermost.write(data)
    return list(outermost.results())


def _with_profiles(found: list[Candidate], layers: str, digests: UnsignedDigests) -> list[Candidate]:
    """The candidates of a message that is not signed, with their profiles, and those that only a profile hashes."""
    profiles: dict[bytes, tuple[MICProfile, ...]] = {}  # by digest
    more: dict[bytes, Candidate] = {}
    for profile, name in product(MICProfile, DIGESTS):
        if profile is MICProfile.MENDELSON and name != MENDELSON_DIGEST:
            continue
        way = hashed(profile, layers)
        digest = digests.digest(way, name)
        profiles[digest] = (*profiles.get(digest, ()), profile)
        more[digest] = Candidate(way, Form.RAW, MIC(digest, name, name))
    known = {each.mic.digest for each in found}
    found = [*found, *(each for digest, each in more.items() if digest not in known)]
    return [replace(each, profiles=profiles.get(each.mic.digest, ())) for each in found]


def _read(receiver: Receiver, outermost: "_Candidates", body: Iterable[bytes]) -> None:
    with suppress(AS2Refused, ReadAgain):  # hash all that can be read, even if the message is refused
        for data in body:
            outermost.write(data)
            receiver.receive_data(data)
            for _ in receiver.events():
                pass
        receiver.finish()


class _Candidates:
    """Hashes one entity with and without its header, in every form and with every algorithm."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._header: HeaderBlockReader | None = HeaderBlockReader()
        self._whole = FormDigests(DIGESTS)
        self._body = FormDigests(DIGESTS)
        self._has_header = False

    def write(self, data: bytes) -> None:
        if self._header is None:
            self._whole.body(data)
            self._body.body(data)
        elif found := self._header.receive_data(data):
            self._begin(*found)

    def close(self) -> None:
        if self._header is not None:
            self._begin(*self._header.close())

    def results(self) -> Iterator[Candidate]:
        self.close()
        if self._has_header:
            yield from _candidates(f"{self._what}, with header", self._whole)
            yield from _candidates(f"{self._what}, without header", self._body)
        else:
            yield from _candidates(self._what, self._body)

    def _begin(self, block: HeaderBlock, rest: bytes) -> None:
        self._header = None
        self._has_header = bool(block.raw)
        by_line = {"content-transfer-encoding": "8bit"}  # so that every form is hashed: a partner may have
        self._whole.header(HeaderBlock(block.raw, by_line))
        self._body.header(HeaderBlock(b"", by_line))
        self.write(rest)


class _Both:
    def __init__(self, first: Sink, second: Sink) -> None:
        self._first, self._second = first, second

    def write(self, data: bytes) -> None:
        self._first.write(data)
        self._second.write(data)

    def close(self) -> None:
        self._first.close()
        self._second.close()


def _candidates(what: str, digests: FormDigests) -> Iterator[Candidate]:
    for form, by_algorithm in digests.results().items():
        for algorithm, digest in by_algorithm.items():
            yield Candidate(what, form, MIC(digest, algorithm, algorithm))
