"""A command that the server never runs."""

from . import catalogue


def main():
    for item in catalogue:
        print(f"{item['name']:10} {item['price']:8.2f}")
