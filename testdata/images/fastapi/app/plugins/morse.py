"""Letters as the telegraph sent them; its alphabet is a file beside this one."""

import pathlib

ALPHABET = dict(line.split() for line in pathlib.Path(__file__).with_name("morse.txt").read_text("ascii").splitlines())


def convert(text):
    return " ".join(ALPHABET[letter] for letter in text.upper())
