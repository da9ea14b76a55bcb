"""TOML: the parser of Python 3.11 and later; before that Unavailable is raised and the caller says so."""

try:
    import tomllib as _parser
except ImportError:
    _parser = None


class Unavailable(Exception):
    """This Python has no TOML parser."""


def loads(text):
    """The parsed document. Errors: ValueError for bad TOML, Unavailable."""
    if _parser is None:
        raise Unavailable()
    return _parser.loads(text)
