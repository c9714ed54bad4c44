# SPDX-License-Identifier: MIT
"""One TCP transfer with known content: `tcp.py receive ADDRESS PORT OCTETS`, then
`tcp.py send ADDRESS PORT OCTETS`. The receiver checks every octet and answers with their number."""

import random
import socket
import sys


def stream(octets):
    """The same pseudo-random octets on both sides."""
    source = random.Random(octets)
    while octets > 0:
        n = min(octets, 65536)
        yield source.randbytes(n)
        octets -= n


def receive(address, port, octets):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1)
        listener.settimeout(60)
        print("listening", flush=True)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(30)
            for expected in stream(octets):
                got = bytearray()
                while len(got) < len(expected):
                    piece = connection.recv(len(expected) - len(got))
                    if not piece:
                        sys.exit(f"the connection ended early, {octets} octets were expected")
                    got += piece
                if got != expected:
                    sys.exit("octets were changed on the way")
            connection.sendall(str(octets).encode())


def send(address, port, octets):
    with socket.create_connection((address, port), timeout=30) as connection:
        for piece in stream(octets):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(64):
            answer += piece
        if answer.decode() != str(octets):
            sys.exit(f"the receiver confirmed '{answer.decode()}', not {octets}")
        print(f"{octets} octets sent and confirmed")


if __name__ == "__main__":
    {"receive": receive, "send": send}[sys.argv[1]](sys.argv[2], int(sys.argv[3]),
                                                    int(sys.argv[4]))
