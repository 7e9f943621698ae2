"""Any file that holds a certificate: what it is (`detect`), how it is spelled (`pem`, `normalize`), what is in it (`reader`)."""
