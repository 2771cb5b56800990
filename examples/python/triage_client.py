"""Triages tickets over gRPC, as a service desk would, and checks that the answers are what the API promises.

The calls stand in `main` and the functions below it that print; `check_decision` is only for the tests
of ticket-triage and needs no counterpart in your own program.
"""

import argparse
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

import connection
from stubs import (
    feedback, feedback_grpc, knowledge, knowledge_grpc, memory, memory_grpc, ticket, triage, triage_grpc,
)

SECONDS_TO_START = 30
SECONDS_A_CALL = 10
TOP_N = 3
# What may be shown to people. ROUTE_MONITOR is only counted, and so is a route that this program does not know.
SHOWN = (triage.ROUTE_RECOMMEND, triage.ROUTE_AUTOFILL)


def main() -> None:
    parser = argparse.ArgumentParser(description="Triage a few tickets on a running server.")
    connection.add_arguments(parser)
    arguments = parser.parse_args()

    with connection.connect(arguments) as channel:
        wait_until_serving(channel, arguments.server)
        service = triage_grpc.TriageServiceStub(channel)
        info = service.GetServerInfo(triage.GetServerInfoRequest(), timeout=SECONDS_A_CALL)
        print(f"Server {info.versions.server} with model {info.versions.model}, taxonomy {info.versions.taxonomy}")

        triage_one(service, info, ticket.Ticket(
            id="INC-1001",
            summary="VPN drops every few minutes",
            description="Hello, since the update “24.2” I cannot stay connected from my home office in Zürich. 😟\n"
            "The client says error 809. Nobody in our team can work.",
        ))
        form = triage_one(service, info, ticket.Ticket(
            id="INC-1002",
            summary="Payroll run stops halfway",
            description="The job that pays the salaries ends with ORA-01653 and must be through by tonight.",
            requester="dana.meier@example.com",
            service="Payroll",
            field_values={"type": "incident", "impact": "high", "urgency": "high"},
        ))
        for name in ("type", "impact", "urgency"):
            kept = next(field for field in form.fields if field.field == name)
            expect(kept.source == triage.VALUE_SOURCE_FORM, f"{name}: the form's value is not kept")

        send_blank(service)
        stream(service, info)
        suggest_and_learn(channel)
    print("\nEvery answer is as the API promises.")


def wait_until_serving(channel: grpc.Channel, server: str) -> None:
    """Follows the health of the whole server until it takes calls; no polling."""
    request = health_pb2.HealthCheckRequest(service="")
    states = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=SECONDS_TO_START, wait_for_ready=True)
    try:
        while next(states).status != health_pb2.HealthCheckResponse.SERVING:
            continue
    except (grpc.RpcError, StopIteration):
        sys.exit(f"no server is ready at {server} within {SECONDS_TO_START} seconds")
    states.cancel()


def triage_one(service, info, one):
    request = triage.TriageTicketRequest(ticket=one, top_n=TOP_N)
    decision = service.TriageTicket(request, timeout=SECONDS_A_CALL).decision
    show(one, decision)
    check_decision(one, decision, info)
    again = service.TriageTicket(request, timeout=SECONDS_A_CALL).decision
    if again.versions == decision.versions:
        expect(again == decision, "the same ticket and the same versions gave another answer")
    return decision


def show(one, decision) -> None:
    priority = decision.priority
    print(f"\n{one.id}  {one.summary}")
    if priority.route in SHOWN:
        print(f"  priority          {priority.priority} (impact {priority.impact}, urgency {priority.urgency})")
    for field in decision.fields:
        if field.route not in SHOWN:
            continue
        source = triage.ValueSource.Name(field.source).removeprefix("VALUE_SOURCE_").lower()
        words = ", ".join(evidence.text for evidence in field.evidence[:4])
        line = f"  {field.field:<17} {field.value:<30} {field.confidence:4.0%}  {source}"
        if field.abstention != triage.ABSTENTION_UNSPECIFIED:
            # Show such a value to a person; do not fill it in.
            line += f"  unsure: {triage.Abstention.Name(field.abstention).removeprefix('ABSTENTION_')}"
        if field.route == triage.ROUTE_AUTOFILL:
            # The desk lets such a value be filled in without asking a person.
            line += "  fills itself in"
        if field.disagreement:
            line += f"  (the text speaks for {field.candidates[0].value})"
        print(line + (f"  because of: {words}" if words else ""))
    for reason in decision.reasons:
        print(f"  - {reason}")
    for article in decision.articles:
        print(f"  article {article.id}: {article.title}")


def send_blank(service) -> None:
    """A refused call says what is wrong with which field, all at once."""
    try:
        request = triage.TriageTicketRequest(ticket=ticket.Ticket(id="INC-1003", summary=" "), top_n=99)
        service.TriageTicket(request, timeout=SECONDS_A_CALL)
    except grpc.RpcError as error:
        print(f"\nINC-1003 is refused with {error.code().name}: {error.details()}")
        status = rpc_status.from_call(error)
        expect(error.code() == grpc.StatusCode.INVALID_ARGUMENT, "a blank ticket is not INVALID_ARGUMENT")
        expect(status is not None, "the error has no details")
        expect(len(violations(status)) == 2, "not all violations are named at once")
    else:
        expect(False, "a blank ticket is accepted")


def violations(status) -> list:
    """Prints the details of a google.rpc.Status and returns the violations of its BadRequest."""
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        for known in (info, bad_request):
            detail.Unpack(known)  # Does nothing where the detail is of another type.
    print(f"  reason {info.reason}")
    for violation in bad_request.field_violations:
        print(f"  {violation.field}: {violation.description}")
    expect(info.reason == "INVALID_REQUEST" and info.domain == "triage.v1", "ErrorInfo is not INVALID_REQUEST")
    expect(all(violation.field for violation in bad_request.field_violations), "a violation names no field")
    return list(bad_request.field_violations)


def stream(service, info) -> None:
    """Answers come in order while tickets are still being sent; a bad ticket fails alone."""
    summaries = ["Outlook asks for my password again and again", "need access to the finance share", "",
                 "printer on 3rd floor shows offline", "BACKUP job srv-fs02 failed with 0x800423f4"]
    tickets = [ticket.Ticket(id=f"INC-200{n}", summary=summary) for n, summary in enumerate(summaries)]
    requests = (triage.StreamTriageRequest(ticket=one, features=[triage.FEATURE_FIELDS]) for one in tickets)
    answers = [answer.result for answer in service.StreamTriage(requests, timeout=SECONDS_A_CALL)]
    print("\nStreamed:")
    expect([answer.ticket_id for answer in answers] == [one.id for one in tickets], "the stream is out of order")
    for one, answer in zip(tickets, answers):
        if answer.WhichOneof("result") == "error":
            print(f"{one.id}  {answer.error.message}")
            expect(not one.summary and len(violations(answer.error)) == 1, f"{one.id}: refused without need")
        else:
            values = ", ".join(field.value for field in answer.decision.fields if field.route in SHOWN)
            priority = answer.decision.priority
            print(f"{one.id}  {priority.priority if priority.route in SHOWN else '--'}  {values}")
            expect(bool(one.summary), f"{one.id}: a blank ticket is accepted")
            check_decision(one, answer.decision, info)
            expect(not answer.decision.articles, f"{one.id}: articles that nobody asked for")


def suggest_and_learn(channel: grpc.Channel) -> None:
    """Offers articles, says which one helped, and finds the solved ticket in the next call."""
    one = ticket.Ticket(id="INC-3001", summary="Outlook asks for my password again and again since this morning")
    request = knowledge.SuggestArticlesRequest(ticket=one, top_n=TOP_N)
    offered = knowledge_grpc.KnowledgeServiceStub(channel).SuggestArticles(request, timeout=SECONDS_A_CALL)
    print(f"\n{one.id}  {one.summary}")
    if not offered.articles:
        print("  no article is suggested")
        return
    expect(bool(offered.suggestion_handle), "a suggestion has no handle")

    service = feedback_grpc.FeedbackServiceStub(channel)

    def tell(article, event):
        # The handle goes back as it came; a call may be repeated, it counts once.
        return service.RecordArticleFeedback(feedback.RecordArticleFeedbackRequest(
            suggestion_handle=offered.suggestion_handle, article_id=article.id, event=event,
        ), timeout=SECONDS_A_CALL)

    for article in offered.articles:
        print(f"  offered {article.id}: {article.title}")
        tell(article, feedback.ARTICLE_EVENT_SHOWN)
    solution = offered.articles[0]
    tell(solution, feedback.ARTICLE_EVENT_CLICKED)
    tell(solution, feedback.ARTICLE_EVENT_HELPED)
    expect(not tell(solution, feedback.ARTICLE_EVENT_HELPED).recorded, "the same feedback counts twice")

    another = ticket.Ticket(id="INC-3002", summary="Outlook keeps asking for the password since the morning")
    request = memory.FindSimilarTicketsRequest(ticket=another, top_n=10)
    found = memory_grpc.MemoryServiceStub(channel).FindSimilarTickets(request, timeout=SECONDS_A_CALL).tickets
    print(f"{another.id}  {another.summary}")
    for similar in found:
        print(f"  {similar.similarity:4.0%} like {similar.id}, solved by {', '.join(similar.articles) or 'no article'}")
    learnt = [similar for similar in found if similar.id == one.id]
    expect(len(learnt) == 1 and solution.id in learnt[0].articles, "what helped is not in the memory")


def check_decision(one, decision, info) -> None:
    """Holds a decision against what the .proto files say of it."""
    expect(decision.ticket_id == one.id, "the answer is for another ticket")
    expect(bool(decision.suggestion_handle) == bool(decision.articles), "a handle without articles, or none with them")
    versions = decision.versions
    named = [versions.model, versions.taxonomy, versions.matrix, versions.knowledge, versions.server]
    expect(all(named), "a version is not named")
    names = [field.field for field in decision.fields]
    expected = [field for field in info.fields if field.route != triage.ROUTE_OFF]
    expect(names == [field.field for field in expected] and len(names) > 0, f"the fields are {names}")
    values = {field.field: field.value for field in decision.fields}
    for field, known in zip(decision.fields, expected):
        name, labels = field.field, {label.value for label in known.labels}
        sure = [candidate.confidence for candidate in field.candidates]
        expect(all(0 <= share <= 1 for share in [field.confidence, *sure]), f"{name}: a confidence beyond 0 to 1")
        expect(len(sure) <= TOP_N and sure == sorted(sure, reverse=True), f"{name}: candidates {sure}")
        expect(triage.ROUTE_MONITOR <= field.route <= known.route, f"{name}: goes further than the desk lets it")
        given = one.field_values.get(name)
        if given or field.abstention != triage.ABSTENTION_UNSPECIFIED:
            expect(field.route != triage.ROUTE_AUTOFILL, f"{name}: filled in over the form or against an abstention")
        if given:
            expect(field.source == triage.VALUE_SOURCE_FORM and field.value == given, f"{name}: {given} is lost")
        elif field.source == triage.VALUE_SOURCE_MODEL:
            expect(len(sure) > 0, f"{name}: no candidates")
            best = field.candidates[0]
            expect(field.value in labels, f"{name}: {field.value} is no label of GetServerInfo")
            expect((field.value, field.confidence) == (best.value, best.confidence), f"{name}: not the best guess")
        weights = [evidence.weight for evidence in field.evidence]
        expect(weights == sorted(weights, reverse=True), f"{name}: evidence is not strongest first")
        for evidence in field.evidence:
            part = one.summary if evidence.part == ticket.TICKET_PART_SUMMARY else one.description
            by_bytes = part.encode()[evidence.start_byte : evidence.end_byte]
            by_utf16 = part.encode("utf-16-le")[evidence.start_utf16 * 2 : evidence.end_utf16 * 2]
            read = {by_bytes.decode(errors="replace"), by_utf16.decode("utf-16-le", errors="replace")}
            expect(read == {evidence.text}, f"{name}: offsets of evidence")

    priority, levels = decision.priority, ["high", "medium", "low"]
    row = versions.matrix.split("/")[levels.index(priority.impact)]
    expect(priority.priority == "P" + row[levels.index(priority.urgency)], "the priority is not the matrix's")
    levels_read = (priority.impact, priority.urgency)
    expect(levels_read == (values["impact"], values["urgency"]), "the matrix was read with other values than the fields'")
    expect(len(decision.articles) <= TOP_N, "more articles than asked for")
    for article in decision.articles:
        size = len(article.passage.text.encode())
        marks = [offset for mark in article.passage.highlights for offset in (mark.start_byte, mark.end_byte)]
        expect(marks == sorted(marks) and all(mark <= size for mark in marks), f"{article.id}: highlights")


def expect(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"not as the API promises: {what}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
