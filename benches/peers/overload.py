"""A flood for servers that a data scientist would build first: scikit-learn behind FastAPI and behind grpcio.

Each is pinned to the first processor and gets what `benches/overload.rs` sends to `triage`, from the same program. One
ticket is classified by one linear SVM, which is a part of what `triage` answers: compare how each behaves under its own
load, not how much it answers.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import desk_sets
from contenders import LinearSvm, texts

SET = "endava_topic8"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=SERVERS, help="only serve, on a free port")
    parser.add_argument("--seconds", default="60", help="how long the flood lasts")
    parser.add_argument("--bench", nargs="+", default=["cargo", "bench", "--bench", "overload", "--"],
                        help="what runs the bench")
    arguments = parser.parse_args()
    if arguments.server:
        os.sched_setaffinity(0, {0})
        SERVERS[arguments.server](classifier())
        return
    for name in SERVERS:
        print(f"{name}:", flush=True)
        command = [sys.executable, __file__, "--server", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            address = server.stdout.readline().strip()
            flood = [*arguments.bench, "--seconds", arguments.seconds, "--peer", address, "--pid", str(server.pid)]
            subprocess.run(flood, check=True)
            server.terminate()


def classifier() -> Callable[[str], tuple[str, float]]:
    contender, rows = LinearSvm(), desk_sets.desk_set(SET).read()
    vectoriser = contender.vectoriser()
    model = contender.fit(vectoriser.fit_transform(texts(rows)), [row.label for row in rows])

    def classify(text: str) -> tuple[str, float]:
        scores = model.decision_function(vectoriser.transform([text]))[0]
        best = scores.argmax()
        return str(model.classes_[best]), float(scores[best])

    return classify


def serve_fastapi(classify: Callable[[str], tuple[str, float]]) -> None:
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Ticket(BaseModel):
        text: str

    app = FastAPI()

    @app.post("/triage")
    def triage(ticket: Ticket) -> dict:
        value, score = classify(ticket.text)
        return {"value": value, "score": score}

    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False)
    listener = config.bind_socket()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def serve_grpcio(classify: Callable[[str], tuple[str, float]], at_a_time: int | None = None) -> None:
    import grpc

    sys.path.insert(0, str(EXAMPLES))
    import stubs

    class Triage(stubs.triage_grpc.TriageServiceServicer):
        def TriageTicket(self, request, context):
            value, score = classify(f"{request.ticket.summary}\n{request.ticket.description}")
            field = stubs.triage.FieldDecision(field="category", value=value, confidence=score)
            return stubs.triage.TriageTicketResponse(decision=stubs.triage.Decision(fields=[field]))

    server = grpc.server(ThreadPoolExecutor(max_workers=10), maximum_concurrent_rpcs=at_a_time)
    stubs.triage_grpc.add_TriageServiceServicer_to_server(Triage(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


SERVERS = {
    "FastAPI": serve_fastapi,
    "grpcio": serve_grpcio,
    "grpcio, 20 at a time": lambda classify: serve_grpcio(classify, at_a_time=20),
}


if __name__ == "__main__":
    main()
