"""Text from the network made safe for a log: it forges no lines and moves no terminal's cursor."""

MOST = 2_000
"""Characters of one record's words that are kept."""


def printable(text: object, most: int = MOST) -> str:
    """Return `text` on one line, with what no printer shows escaped (`\\n`, `\\x1b`), at most `most` long."""
    words = str(text)
    cut = "…" if len(words) > most else ""
    shown = "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode()
        for sign in words[:most]
    )
    return shown[:most] + (cut or ("…" if len(shown) > most else ""))
