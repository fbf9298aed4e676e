"""One interface to language models, and a module a family behind it."""
