"""An AS2 route: refuse by the header alone (`begin`), receive and answer (`exchange`), and what the journal keeps."""
