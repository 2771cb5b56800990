"""Makes Python modules of the .proto files, in a temporary folder that is gone after the import.

Your own program would run grpc_tools.protoc once, when it is built, and keep what it makes.
"""

import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[2] / "proto"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"

with tempfile.TemporaryDirectory() as folder:
    files = sorted(str(file.relative_to(PROTO)) for file in PROTO.glob("triage/v1/*.proto"))
    options = [f"-I{PROTO}", f"-I{WELL_KNOWN}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(["protoc", *options, *files]) != 0:
        sys.exit(f"cannot compile the files under {PROTO}")
    sys.path.insert(0, folder)
    from triage.v1 import feedback_pb2 as feedback, feedback_pb2_grpc as feedback_grpc
    from triage.v1 import knowledge_pb2 as knowledge, knowledge_pb2_grpc as knowledge_grpc
    from triage.v1 import memory_pb2 as memory, memory_pb2_grpc as memory_grpc
    from triage.v1 import ticket_pb2 as ticket, triage_pb2 as triage, triage_pb2_grpc as triage_grpc
    sys.path.remove(folder)

__all__ = ["feedback", "feedback_grpc", "knowledge", "knowledge_grpc", "memory", "memory_grpc", "ticket", "triage",
           "triage_grpc"]
