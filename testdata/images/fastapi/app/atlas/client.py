"""python -m atlas.client upload FILE | echo TEXT: asks the server that runs here."""

import argparse
import asyncio
import os
import sys

SERVER = "127.0.0.1:" + os.environ.get("PORT", "8000")


def upload(path):
    import urllib.request
    import uuid

    mark = uuid.uuid4().hex
    with open(path, "rb") as file:
        body = (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{os.path.basename(path)}"\r\n\r\n'.encode()
            + file.read()
            + f"\r\n--{mark}--\r\n".encode()
        )
    request = urllib.request.Request(f"http://{SERVER}/api/upload", body)
    request.add_header("Content-Type", f"multipart/form-data; boundary={mark}")
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


async def echo(text):
    import websockets

    async with websockets.connect(f"ws://{SERVER}/api/echo") as socket:
        await socket.send(text)
        return await socket.recv()


def main():
    parser = argparse.ArgumentParser(prog="atlas.client")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upload", help="send a file").add_argument("path")
    commands.add_parser("echo", help="say a word").add_argument("text")
    chosen = parser.parse_args()
    print(upload(chosen.path) if chosen.command == "upload" else asyncio.run(echo(chosen.text)))


if __name__ == "__main__":
    sys.exit(main())
