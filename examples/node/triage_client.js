// Triages tickets over gRPC, as a service desk would. Exits 1 where an answer is not as the API promises.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { fromJSON, loadSync } from "@grpc/proto-loader";
import { service as healthService } from "grpc-health-check";

const { server, ca, "token-file": tokenFile } = parseArgs({
  options: {
    server: { type: "string", default: "127.0.0.1:50051" },
    ca: { type: "string" },
    "token-file": { type: "string" },
  },
}).values;
const within = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

const proto = fileURLToPath(new URL("../../proto", import.meta.url));
const reading = { includeDirs: [proto], enums: String, defaults: true, oneofs: true };
const definitions = loadSync("triage/v1/triage.proto", reading);
const { TriageService } = grpc.loadPackageDefinition(definitions).triage.v1;
const Health = grpc.makeGenericClientConstructor(healthService, "Health");

/** Plain on this machine; over TLS with --ca, and only then with a token: without TLS whoever is on the way reads it. */
function credentials() {
  assert.ok(ca || !tokenFile, "--token-file needs --ca");
  if (!ca) return grpc.credentials.createInsecure();
  const secured = grpc.credentials.createSsl(readFileSync(ca));
  if (!tokenFile) return secured;
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${readFileSync(tokenFile, "utf8").trim()}`);
  const show = grpc.credentials.createFromMetadataGenerator((_, done) => done(null, metadata));
  return grpc.credentials.combineChannelCredentials(secured, show);
}

// Of google/rpc/error_details.proto, what this program reads.
const text = (id) => ({ type: "string", id });
const errorDetails = fromJSON({
  nested: {
    ErrorInfo: { fields: { reason: text(1), domain: text(2) } },
    BadRequest: { fields: { fieldViolations: { rule: "repeated", type: "FieldViolation", id: 1 } } },
    FieldViolation: { fields: { field: text(1), description: text(2) } },
  },
}, { defaults: true });

/** The details of a google.rpc.Status by name: { ErrorInfo, BadRequest }. */
function detailsOf(status) {
  const name = (any) => any.type_url.replace("type.googleapis.com/google.rpc.", "");
  const known = status.details.filter((any) => name(any) in errorDetails);
  return Object.fromEntries(known.map((any) => [name(any), errorDetails[name(any)].deserialize(any.value)]));
}

// What may be shown to people; a monitored value is only counted.
const shown = ({ route }) => route === "ROUTE_RECOMMEND" || route === "ROUTE_AUTOFILL";

function show(ticket, { priority, fields, reasons, articles, ticketId }) {
  assert.equal(ticketId, ticket.id);
  console.log(`\n${ticket.id}  ${ticket.summary}`);
  if (shown(priority)) console.log(`  ${priority.priority} (impact ${priority.impact}, urgency ${priority.urgency})`);
  for (const { field, value, source, confidence, abstention, evidence, route } of fields.filter(shown)) {
    assert.ok(value && confidence >= 0 && confidence <= 1, field);
    const form = ticket.fieldValues?.[field];
    if (form) assert.deepEqual([value, source], [form, "VALUE_SOURCE_FORM"]);
    for (const { part, startUtf16, endUtf16, text } of evidence) {
      const read = part === "TICKET_PART_SUMMARY" ? ticket.summary : ticket.description;
      assert.equal(read.slice(startUtf16, endUtf16), text);
    }
    // An abstention is no error: show such a value to a person, and do not fill it in.
    const unsure = abstention === "ABSTENTION_UNSPECIFIED" ? "" : abstention.replace("ABSTENTION_", " unsure: ");
    const words = evidence.slice(0, 4).map((one) => one.text).join(", ");
    const sure = form ? "from the form" : `${Math.round(confidence * 100)} %`;
    // The desk lets such a value be filled in without asking a person.
    const fills = route === "ROUTE_AUTOFILL" ? ", fills itself in" : "";
    assert.ok(!fills || (!form && !unsure), field);
    console.log(`  ${field}: ${value} (${sure})${unsure}${words && `, because of ${words}`}${fills}`);
  }
  for (const reason of reasons) console.log(`  - ${reason}`);
  for (const article of articles) console.log(`  article ${article.id}: ${article.title}`);
  assert.match(priority.priority, /^P[1-5]$/);
  assert.ok(articles.length <= 3);
}

// Wait until the whole server (the empty name) takes calls.
const health = new Health(server, credentials());
const states = health.watch({ service: "" }, new grpc.Metadata({ waitForReady: true }), within(30));
try {
  for await (const state of states) if (state.status === "SERVING") break;
} catch (error) {
  console.error(`no server is ready at ${server}: ${error.message}`);
  process.exit(1);
}
health.close();

const client = new TriageService(server, credentials());
const triage = (ticket) => promisify(client.triageTicket.bind(client))({ ticket, topN: 3 }, within(10));

const vpn = {
  id: "INC-1001",
  summary: "VPN drops every few minutes",
  description: "😟 At home in Zürich I get error 809. Nobody in our team can work.",
};
const payroll = {
  id: "INC-1002",
  summary: "Payroll run stops with ORA-01653",
  service: "Payroll",
  fieldValues: { impact: "high", urgency: "high" },
};
for (const ticket of [vpn, payroll]) show(ticket, (await triage(ticket)).decision);

// A refused call says what is wrong with which field.
const error = await triage({ summary: " " }).then(() => assert.fail("a blank ticket is accepted"), (error) => error);
assert.equal(error.code, grpc.status.INVALID_ARGUMENT, error.message);
const status = definitions["google.rpc.Status"].deserialize(error.metadata.get("grpc-status-details-bin")[0]);
const { ErrorInfo, BadRequest } = detailsOf(status);
console.log(`\nA blank ticket is refused: ${ErrorInfo.reason}`, BadRequest.fieldViolations);
assert.deepEqual([ErrorInfo.reason, BadRequest.fieldViolations[0].field], ["INVALID_REQUEST", "ticket.summary"]);

// A stream answers in order; a bad ticket fails alone.
const summaries = ["Outlook asks for my password", "need access to the finance share", "", "printer offline", "order a monitor"];
const tickets = summaries.map((summary, n) => ({ id: `INC-200${n}`, summary }));
const stream = client.streamTriage(within(10));
for (const ticket of tickets) stream.write({ ticket, features: ["FEATURE_FIELDS"] });
stream.end();
const answers = [];
for await (const { result } of stream) {
  answers.push(result);
  if (result.decision) {
    const { priority, fields } = result.decision;
    const values = fields.filter(shown).map((field) => field.value);
    console.log(result.ticketId, shown(priority) ? priority.priority : "--", ...values);
  } else {
    console.log(result.ticketId, "is refused:", detailsOf(result.error).BadRequest.fieldViolations);
  }
}
assert.deepEqual(answers.map((answer) => answer.ticketId), tickets.map((ticket) => ticket.id));
assert.deepEqual(answers.map((answer) => answer.result), summaries.map((summary) => (summary ? "decision" : "error")));
client.close();
console.log("\nEvery answer is as the API promises.");
