"""Several engines as one: when the first fails, the next takes over. They keep the Protocols of `engines/base`."""
