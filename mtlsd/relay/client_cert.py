"""The client's certificate for the backend (RFC 9440): `Client-Cert` and `Client-Cert-Chain`.

A delivery may be made days after the connection ended. So the certificates stay with the message, and its digest in the
chain of the journal covers them.
"""

from base64 import b64encode

from mtlsd.journal.columns import certificate_fields
from mtlsd.journal.model import HeaderPairs, Message


def client_cert_fields(message: Message) -> HeaderPairs:
    """The fields for the backend; none if no certificate was kept."""
    return certificate_fields(message.client_certificates, "Client-Cert", "Client-Cert-Chain")


def client_certs(message: Message) -> dict[str, object]:
    """The same certificates as base64 of DER for a JSON file: one certificate, and a list."""
    if not message.client_certificates:
        return {}
    leaf, *chain = (b64encode(each).decode("ascii") for each in message.client_certificates)
    return {"client_cert": leaf, "client_cert_chain": chain} if chain else {"client_cert": leaf}
