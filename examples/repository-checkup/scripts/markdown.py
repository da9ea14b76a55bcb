"""Writing GitHub-flavoured Markdown out of text that nobody controls: names and messages never become
markup.
"""

import re

_SPECIAL = re.compile(r"([\\`*\[\]<>|~]|(?<!\w)_|_(?!\w)|^[#+-](?=\s))")


def plain(text):
    """Text inside a paragraph or a table cell."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def code(text):
    """Text as code; also inside a table, where a vertical line would end the cell."""
    text = " ".join(str(text).split(" ")).replace("|", "\\|").replace("\n", " ")
    ticks = "`" * (max([len(run) for run in re.findall(r"`+", text)] or [0]) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return "%s%s%s%s%s" % (ticks, pad, text, pad, ticks) if text else ""


def number(value):
    """1234567 → 1,234,567."""
    return "{:,}".format(value)


def count(value, one, many=None):
    """3, "file" → 3 files."""
    return "%s %s" % (number(value), one if value == 1 else many or one + "s")


def size(value):
    for unit in ("bytes", "KB", "MB"):
        if value < 1000:
            return "%d %s" % (value, unit) if unit == "bytes" or value >= 10 else "%.1f %s" % (value, unit)
        value /= 1000
    return "%.1f GB" % value


def table(head, rows, right=()):
    """A table; `right` are the indexes of the columns of numbers. Cells are Markdown already."""
    if not rows:
        return []
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + "|".join(" ---: " if i in right else " --- " for i in range(len(head))) + "|")
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return lines + [""]


def bar(share, width=10):
    """A share between 0 and 1 as a bar of blocks."""
    full = max(0, min(width, round(share * width)))
    return "█" * full + "░" * (width - full)
