"""Recognises licences: a licence file by phrases that no other licence has, a source file by its SPDX line.

Names are SPDX identifiers (spdx.org/licenses). The texts are compared with white space folded and case
ignored.
"""

import re

LICENCE_FILE = re.compile(
    r"(^|/)((un)?licen[cs]es?|copying|copyright|mit-license|apache-license)([-._][\w.-]+)?$", re.IGNORECASE
)
NOT_A_LICENCE = re.compile(
    r"\.(py|js|ts|c|h|cc|cpp|go|rs|rb|java|sh|html?|json|ya?ml|po|tmpl|map)$", re.IGNORECASE
)

_RULES = [  # (identifier, phrases that must all be there); the first that fits wins
    ("AGPL-3.0", ["gnu affero general public license version 3, 19 november 2007"]),
    ("LGPL-2.1", ["gnu lesser general public license version 2.1, february 1999"]),
    ("LGPL-3.0", ["gnu lesser general public license version 3, 29 june 2007"]),
    ("LGPL-2.0", ["gnu library general public license version 2, june 1991"]),
    ("GPL-3.0", ["gnu general public license version 3, 29 june 2007"]),
    ("GPL-2.0", ["gnu general public license version 2, june 1991"]),
    ("GFDL", ["gnu free documentation license", "verbatim copying"]),
    ("Apache-2.0", ["apache license", "version 2.0, january 2004"]),
    ("MPL-2.0", ["mozilla public license", "version 2.0"]),
    ("EPL-2.0", ["eclipse public license - v 2.0"]),
    ("BSL-1.0", ["boost software license - version 1.0"]),
    ("CC0-1.0", ["cc0 1.0 universal"]),
    ("CC-BY-4.0", ["creative commons attribution 4.0 international"]),
    ("CC-BY-3.0", ["creative commons attribution 3.0"]),
    ("Unlicense", ["this is free and unencumbered software released into the public domain"]),
    ("Zlib", ["this software is provided 'as-is'", "altered source versions must be plainly marked"]),
    ("PSF-2.0", ["python software foundation license version 2"]),
    ("Artistic-2.0", ["the artistic license 2.0"]),
    ("WTFPL", ["do what the fuck you want to public license"]),
    (
        "BSD-4-Clause",
        ["redistribution and use in source and binary forms", "all advertising materials mentioning"],
    ),
    (
        "BSD-3-Clause",
        [
            "redistribution and use in source and binary forms",
            r"re:neither the names? of .{0,160}? be used to endorse",
        ],
    ),
    (
        "BSD-3-Clause",
        ["redistribution and use in source and binary forms", "may not be used to endorse or promote"],
    ),
    (
        "BSD-2-Clause",
        [
            "redistribution and use in source and binary forms",
            "redistributions in binary form must reproduce",
        ],
    ),
    (
        "ISC",
        [
            "permission to use, copy, modify, and/or distribute this software for any purpose with or"
            " without fee"
        ],
    ),
    (
        "ISC",
        [
            "permission to use, copy, modify, and distribute this software for any purpose with or without"
            " fee is hereby granted, provided that the above copyright notice and this permission notice"
            " appear in all copies"
        ],
    ),
    (
        "0BSD",
        [
            "permission to use, copy, modify, and/or distribute this software for any purpose with or without"
            " fee is hereby granted. the software is provided"
        ],
    ),
    (
        "MIT",
        [
            "permission is hereby granted, free of charge, to any person obtaining a copy",
            'the software is provided "as is"',
        ],
    ),
    ("MIT", ["permission is hereby granted, free of charge, to any person obtaining a copy"]),
    # A notice that names a licence instead of quoting it (as in debian/copyright).
    ("LGPL-2.1-or-later", ["gnu lesser general public license", "either version 2.1"]),
    ("GPL-3.0-or-later", ["gnu general public license", "either version 3"]),
    ("GPL-2.0-or-later", ["gnu general public license", "either version 2"]),
]
# Rules whose text may also quote another of the list: 0BSD before ISC would never be reached otherwise.
_RULES.sort(key=lambda rule: rule[0] != "0BSD")
_SPDX = re.compile(rb"SPDX-License-Identifier:\s*([A-Za-z0-9.+() -]{2,80})")
_ALIASES = {
    "GPL-2": "GPL-2.0",
    "GPL-3": "GPL-3.0",
    "GPLV2": "GPL-2.0",
    "GPLV3": "GPL-3.0",
    "LGPL-2.1": "LGPL-2.1",
    "EXPAT": "MIT",
    "APACHE-2": "Apache-2.0",
    "APACHE2": "Apache-2.0",
    "APACHE 2.0": "Apache-2.0",
    "BSD-3": "BSD-3-Clause",
    "BSD-2": "BSD-2-Clause",
    "APACHE LICENSE 2.0": "Apache-2.0",
    "MIT LICENSE": "MIT",
    "THE MIT LICENSE": "MIT",
    "BSD": "BSD-3-Clause",
}


def fold(text):
    text = (
        text.lower()
        .replace("``", '"')
        .replace("''", '"')
        .replace("“", '"')
        .replace("”", '"')
        .replace("‘", "'")
        .replace("’", "'")
    )
    return " ".join(re.sub(r"^[ \t]*(\*|#|//|;|\.)+[ \t]?", "", text, flags=re.MULTILINE).split())


def recognise(text):
    """SPDX identifiers of the licences that a text contains; several when it quotes several."""
    folded = fold(text)
    found = []
    for identity, phrases in _RULES:
        if identity in found:
            continue
        if all(re.search(p[3:], folded) if p.startswith("re:") else p in folded for p in phrases):
            found.append(identity)
    # A more special member of a family hides the general one.
    hides = {
        "BSD-4-Clause": ("BSD-3-Clause", "BSD-2-Clause"),
        "BSD-3-Clause": ("BSD-2-Clause",),
        "0BSD": ("ISC",),
        "LGPL-3.0": ("GPL-3.0",),
    }
    if any(
        f in found for f in ("GPL-2.0", "GPL-3.0", "LGPL-2.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0", "GFDL")
    ):
        found = [
            f for f in found if not f.endswith("-or-later")
        ]  # the whole text also quotes the usual notice
    for keep in list(found):
        if keep in found:
            found = [f for f in found if f not in hides.get(keep, ())]
    return found


def spdx_of(head):
    """The expression of a file's SPDX line, or ''."""
    match = _SPDX.search(head[:4096])
    return match.group(1).decode().strip().rstrip("*/- ").strip() if match else ""


def normal(name):
    """An identifier as written in a manifest in its usual form, without -only and -or-later."""
    name = " ".join(str(name).split()).strip("()")
    name = _ALIASES.get(name.upper(), name)
    return re.sub(r"(-only|-or-later|\+)$", "", _ALIASES.get(name.upper(), name))


def family(expression):
    """The identifiers of an SPDX expression."""
    parts = re.split(r"\s+(?:OR|AND|WITH|or|and|with)\s+|[()/,]", str(expression))
    return {normal(part) for part in parts if part.strip()}
