"""Which certificates of the client a route passes on to its backend (RFC 9440): none, unless it says so."""

from mtlsd.config.model import ClientCert
from mtlsd.handlers.context import Call
from mtlsd.journal.model import HeaderPairs
from mtlsd.pki.chain import issuers_of
from mtlsd.relay.client_cert import keep_client_cert


def kept_certificates(call: Call) -> HeaderPairs:
    """What the message keeps of them; nothing where TLS proved nobody."""
    if call.route.client_cert is ClientCert.OFF or call.peer is None:
        return ()
    leaf = call.peer.certificate
    if call.route.client_cert is ClientCert.LEAF:
        return keep_client_cert(leaf.der)
    sent_along = call.presented.chain if call.presented else ()
    chain = issuers_of(leaf, (*sent_along, *call.peer.partner.intermediates))
    return keep_client_cert(leaf.der, [each.der for each in chain])
