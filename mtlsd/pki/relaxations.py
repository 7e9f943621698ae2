"""The exceptions that `relax` can list for a partner: each weakens proof or framing, and is off by default."""

from collections.abc import Mapping
from enum import StrEnum


class Relax(StrEnum):
    """A name in `relax`."""

    SHA1 = "sha1"
    TRIPLE_DES = "3des"
    RSA_1024 = "rsa-1024"
    TE_AND_CL = "te-and-cl"
    SERVER_AUTH_ONLY = "server-auth-only"
    ANY_KEY_USAGE = "any-key-usage"
    SHA1_CHAIN = "sha1-chain"
    GCM_IN_ENVELOPED_DATA = "gcm-in-enveloped-data"


# The risk of each. docs/as2.md also names the quirk that needs it and the test that shows it.
RELAXATIONS: Mapping[Relax, str] = {
    Relax.SHA1: "collisions are practical: a partner could show two documents for one signature",
    Relax.TRIPLE_DES: "blocks of 64 bits: large messages reveal which parts are equal",
    Relax.RSA_1024: "a key that a rich attacker could factor, and then sign as the partner",
    Relax.TE_AND_CL: "a proxy in front of us could see another end of the request than we do",
    Relax.SERVER_AUTH_ONLY: "a web server's certificate opens connections as the partner",
    Relax.ANY_KEY_USAGE: "a key that its CA meant for encryption, or for signing other certificates, opens connections",
    Relax.SHA1_CHAIN: "collisions are practical: whoever finds one has a certificate that the CA never issued",
    Relax.GCM_IN_ENVELOPED_DATA: "no standard has this form: another reader could take the tag for content",
}
