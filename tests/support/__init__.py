"""What tests of several packages share: certificates, messages, servers, and a daemon to test."""
