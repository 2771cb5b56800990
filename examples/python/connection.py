"""Connects to a server: plainly on this machine, and over TLS with a token where others reach it."""

import argparse
from pathlib import Path

import grpc


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", default="127.0.0.1:50051", metavar="ADDRESS", help="default: %(default)s")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="CA of the server (PEM): connect over TLS")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token to show; needs --ca")


def connect(arguments: argparse.Namespace) -> grpc.Channel:
    if arguments.ca is None:
        # Without TLS whoever is on the way would read the token.
        if arguments.token_file is not None:
            raise SystemExit("--token-file needs --ca")
        return grpc.insecure_channel(arguments.server)
    credentials = grpc.ssl_channel_credentials(arguments.ca.read_bytes())
    if arguments.token_file is not None:
        token = grpc.access_token_call_credentials(arguments.token_file.read_text().strip())
        credentials = grpc.composite_channel_credentials(credentials, token)
    return grpc.secure_channel(arguments.server, credentials)
