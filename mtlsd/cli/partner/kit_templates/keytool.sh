#!/bin/sh
# A trust store for Java. Its passphrase is in the environment, not on the command line.
cd "$(dirname "$0")" || exit 1
: "${STOREPASS:?export STOREPASS first}"
@imports
# Your own key and certificate, from a .pfx:
#   keytool -importkeystore -srckeystore your.pfx -srcstoretype PKCS12 -destkeystore keystore.p12 -deststoretype PKCS12
# java -Djavax.net.ssl.trustStore=truststore.p12 -Djavax.net.ssl.keyStore=keystore.p12 ...
