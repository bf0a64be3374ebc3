"""Names as they sound, for the index of streets."""

import string
import unicodedata

CODES = str.maketrans(string.ascii_uppercase, "01230120022455012623010202")


def convert(text):
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().upper()
    out = previous = ""
    for letter, code in zip(plain, plain.translate(CODES), strict=True):
        if code not in ("0", previous):
            out += code
        previous = code
    first = plain.translate(CODES)[:1]
    return plain[:1] + (out[1:] if out[:1] == first else out)[:3].ljust(3, "0")
