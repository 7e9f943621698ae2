"""The groups of commands, each with a table that says in which module a command is."""

import click

from mtlsd.cli.lazy import Lazy, LazyGroup

PARTNER = {
    "add": Lazy("partner.add:add", "Add a partner; either everything is applied or nothing."),
    "list": Lazy("partner.command:list_partners", "List the partners, and say which are in use."),
    "show": Lazy("partner.command:show", "Show everything about a partner, with errors and warnings."),
    "disable": Lazy("partner.command:disable", "Refuse every request of a partner until it is enabled."),
    "enable": Lazy("partner.command:enable", "Enable a partner that `mtlsd partner disable` disabled."),
    "remove": Lazy("partner.command:remove", "Remove a partner's directory and everything in it."),
    "kit": Lazy("partner.kit:kit", "Write a zip file for a partner, with everything it needs to connect."),
}
CERT = {
    "show": Lazy("cert.command:show", "Show every certificate and private key in FILE."),
    "doctor": Lazy("cert.command:doctor", "Say what is wrong with FILE, and write a repaired copy in PEM."),
    "convert": Lazy("cert.command:convert", "Convert the file IN to the format that the name of OUT implies."),
}
CA = {
    "init": Lazy("cert.test_ca:init", "Create a test CA: ca.pem and ca.key in FOLDER."),
    "issue": Lazy("cert.test_ca:issue", "Create a key and a certificate with the common name NAME."),
    "sign": Lazy("cert.test_ca:sign", "Create a certificate for a REQUEST (PKCS#10) in PEM or DER."),
}
JOURNAL = {
    "list": Lazy("journal.command:list_messages", "List the accepted messages, newest first."),
    "show": Lazy("journal.command:show", "Show everything about one message."),
    "payload": Lazy("journal.payload:payload", "Write the document of a message, byte for byte."),
    "mdn": Lazy("journal.mdn:mdn", "Write the MDN of a message, byte for byte, as it was sent."),
    "replay": Lazy("journal.replay:replay", "Retry the failed or pending deliveries of a message, or of many."),
    "drop": Lazy("journal.replay:drop", "Give up the failed or pending deliveries of a message."),
    "verify": Lazy("journal.proof:verify_journal", "Check that nothing in the journal has been changed."),
    "prove": Lazy("journal.proof:prove", "Write a folder that proves one exchange to a third party."),
    "prune": Lazy("journal.proof:prune", "Delete the contents of old messages, as [retention] says."),
    "migrate": Lazy("journal.command:migrate", "Upgrade the journal to the version of this mtlsd."),
}
PRIVACY = {
    "export": Lazy("journal.privacy:export", "Write everything that the journal holds about a partner."),
    "erase": Lazy("journal.privacy:erase", "Erase everything that the journal holds about a partner."),
}


@click.group(cls=LazyGroup, table=PARTNER)
def partner() -> None:
    """Add, show and remove trading partners.

    \b
    Examples:
      mtlsd partner add acme --as2-id ACME --cert acme.cer --root acme-root.cer
      mtlsd partner list
      mtlsd partner show acme
    """


@click.group(cls=LazyGroup, table=CERT)
def cert() -> None:
    """Show, repair and convert certificate files.

    \b
    Examples:
      mtlsd cert show acme.p7b
      mtlsd cert doctor from-the-mail.txt --output acme.pem
      mtlsd cert convert chain.pem own.pfx --key key.pem
    """


@click.group(cls=LazyGroup, table=CA)
def ca() -> None:
    """Create certificates for tests, under a test CA.

    Each certificate is marked as a test certificate. If the configuration has `production = true`, mtlsd ignores them.

    \b
    Examples:
      mtlsd ca init test-ca --name 'Example test CA'
      mtlsd ca issue test-ca edi.acme.example --passphrase-file pfx.passphrase
      mtlsd ca sign test-ca request.csr --output acme.pem
    """


@click.group(cls=LazyGroup, table=JOURNAL)
def journal() -> None:
    """Show the received messages, and manage their deliveries.

    Use `replay` to retry deliveries that failed or are still waiting. The daemon may be running meanwhile. Times are
    UTC.

    \b
    Examples:
      mtlsd journal list --state failed
      mtlsd journal show '<42@acme.example>'
      mtlsd journal replay '<42@acme.example>'
    """


@click.group(cls=LazyGroup, table=PRIVACY)
def privacy() -> None:
    """Export or erase everything stored about a partner.

    \b
    Examples:
      mtlsd privacy export --partner acme --output acme-export
      mtlsd privacy erase --partner acme
    """
