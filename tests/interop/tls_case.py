# SPDX-License-Identifier: LGPL-2.1-or-later
# tls_case.py - certificates for tests, made by certtool, and the TLS of Python's clients.
import ssl

from functions import run

DAYS = "expiration_days = 2\n"
PAST = 'activation_date = "2020-01-01 00:00:00"\nexpiration_date = "2020-01-02 00:00:00"\n'
ALICE = ('cn = "alice"\norganization = "Example, Inc."\ndns_name = "alice.example.com"\n'
         'ip_address = "192.0.2.7"\nuri = "spiffe://example.com/alice"\n'
         'email = "alice@example.com"\n')


class Authority:
    """A CA in a folder of its own, named as nbdkit and QEMU want it."""

    def __init__(self, work, name="pki"):
        self.work = work
        self.dir = work.path(name)
        run("mkdir", self.dir)
        self.key("ca")
        self.template("ca", 'cn = "test CA"\nca\ncert_signing_key\ncrl_signing_key\n' + DAYS)
        run("certtool", "--generate-self-signed", "--load-privkey", self.path("ca-key.pem"),
            "--template", self.path("ca.info"), "--outfile", self.path("ca-cert.pem"))

    def path(self, name):
        return f"{self.dir}/{name}"

    def template(self, who, text):
        with open(self.path(who + ".info"), "w", encoding="utf-8") as file:
            file.write(text)

    def key(self, who):
        run("certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile",
            self.path(who + "-key.pem"))

    def issue(self, who, text):
        """WHO-cert.pem and WHO-key.pem, signed by this CA."""
        self.key(who)
        self.template(who, text + "signing_key\n")
        run("certtool", "--generate-certificate", "--load-ca-certificate",
            self.path("ca-cert.pem"), "--load-ca-privkey", self.path("ca-key.pem"),
            "--load-privkey", self.path(who + "-key.pem"), "--template",
            self.path(who + ".info"), "--outfile", self.path(who + "-cert.pem"))
        return self

    def issue_server(self, name="localhost", dates=DAYS):
        return self.issue("server", f'cn = "{name}"\ndns_name = "{name}"\ntls_www_server\n' + dates)

    def issue_client(self, who, text=None, dates=DAYS):
        return self.issue(who, (text or f'cn = "{who}"\n') + "tls_www_client\n" + dates)

    def revoke(self, who):
        self.template("crl", "crl_next_update = 2\ncrl_number = 1\n")
        run("certtool", "--generate-crl", "--load-ca-certificate", self.path("ca-cert.pem"),
            "--load-ca-privkey", self.path("ca-key.pem"), "--load-certificate",
            self.path(who + "-cert.pem"), "--template", self.path("crl.info"), "--outfile",
            self.path("ca-crl.pem"))

    def client(self, who=None, of=None):
        """The TLS of a client that trusts this CA and shows the certificate of WHO, which another
        CA may have signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # an end without good-bye is an error
        context.load_verify_locations(self.path("ca-cert.pem"))
        if who is not None:
            pki = of or self
            context.load_cert_chain(pki.path(who + "-cert.pem"), pki.path(who + "-key.pem"))
        return context
