"""Code in a user's own file: `FILE.py:NAME`, or `package.module:NAME` of an installed package.

`sources` reads a file with the modules that it imports and computes their content hash, `loading` runs it and returns
the object, and turns errors in it into one line with file and line. Nothing is run because a config, record or data
file names it: callers load a reference only when the user names it on the command line or in a Python call.
Standard library only.
"""

from scaling.config.user_code.loading import is_user_code, load_object, user_errors
from scaling.config.user_code.sources import CodeReference, UserCode, UserCodeError, parse_reference, read_code

__all__ = [
    "CodeReference",
    "UserCode",
    "UserCodeError",
    "is_user_code",
    "load_object",
    "parse_reference",
    "read_code",
    "user_errors",
]
