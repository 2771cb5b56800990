//! Decisions and articles for people, readable at a glance; colours on a terminal only.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write},
    net::SocketAddr,
    ops::Range,
};

use crate::{
    domain::{
        article::{ArticleHit, ArticleStatus, Day, FoundArticle, Passage},
        decision::{Abstention, FieldDecision, TriageDecision, ValueSource},
        memory::SimilarTicket,
        route::Route,
        sla::written,
        steering,
        suggestion::{Reason, ReasonKind},
        taxonomy::{ASSIGNMENT_GROUP, IMPACT, URGENCY},
    },
    encode::html,
    triage::percent,
};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// Wraps `text` in a style where standard output is a terminal that shows colours.
fn styled(style: &str, text: &str) -> String {
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colours { format!("{style}{text}{RESET}") } else { text.to_owned() }
}

/// A decision as a small table: priority first, then a line a field, then articles.
pub(super) fn decision(out: &mut impl Write, decision: &TriageDecision) -> io::Result<()> {
    if let Some(priority) = &decision.priority {
        let doubtful =
            [IMPACT, URGENCY].iter().filter_map(|name| decision.field(name)).any(|field| field.abstention.is_some());
        let doubt = if doubtful { styled(YELLOW, "  not sure") } else { String::new() };
        let why = format!("impact {} × urgency {}", priority.impact, priority.urgency);
        let mark = mark(priority.route);
        let within = priority.sla.map(|target| {
            let [response, resolution] = [target.response(), target.resolution()].map(written);
            format!("  respond within {response}, resolve within {resolution}")
        });
        let why = format!("{why}{}", within.unwrap_or_default());
        writeln!(out, "{}  {}{doubt}{mark}", styled(BOLD, &priority.priority.to_string()), styled(DIM, &why))?;
    }
    for field in &decision.fields {
        let name = field.field.replace('_', " ");
        // Padded before it is styled, so that the invisible codes do not count.
        let value = styled(BOLD, &format!("{:<30}", field.value));
        let sure = match &field.source {
            ValueSource::Model | ValueSource::GroupTable | ValueSource::Memory => percent(field.confidence),
            ValueSource::Form => "form".to_owned(),
            ValueSource::ImpactTable(_) => "table".to_owned(),
        };
        writeln!(out, "  {name:<17} {value} {sure:>5}  {}{}", because(field), mark(field.route))?;
    }
    if decision.truncated {
        writeln!(out, "{}", styled(YELLOW, "  the text is long: only its beginning was read"))?;
    }
    if !decision.articles.is_empty() {
        writeln!(out)?;
        articles(out, &decision.articles)?;
    }
    if !decision.similar.is_empty() {
        writeln!(out, "\n{}", styled(DIM, "tickets like this one"))?;
        similar_tickets(out, &decision.similar)?;
    }
    Ok(())
}

/// What may be done with a value, where that is not simply to show it.
fn mark(route: Route) -> &'static str {
    match route {
        Route::Monitor => "  [monitor]",
        Route::Recommend => "",
        Route::Autofill => "  [autofill]",
    }
}

/// Doubts before words: an analyst must see first that a value is not to be trusted.
fn because(field: &FieldDecision) -> String {
    if let Some(abstention) = field.abstention {
        let runner_up = field.candidates.get(1).map(|one| format!(", or {} {}", one.value, percent(one.confidence)));
        let doubt = format!("not sure, {}{}", in_words(abstention), runner_up.unwrap_or_default());
        return styled(YELLOW, &doubt);
    }
    if field.disagreement {
        let best = field.candidates.first().map(|best| best.value.as_str()).unwrap_or_default();
        return styled(YELLOW, &format!("the text speaks for {best}"));
    }
    if let ValueSource::ImpactTable(raised_by) = &field.source {
        return format!("raised by {raised_by}");
    }
    if field.field == ASSIGNMENT_GROUP && field.source == ValueSource::GroupTable {
        return styled(DIM, "from the category");
    }
    if let (ValueSource::Memory, Some(like)) =
        (&field.source, field.witnesses.iter().find(|one| one.value == field.value))
    {
        let corrected = if like.corrected { ", corrected" } else { "" };
        let like = format!("like {} ({}{corrected})", printable(&like.ticket_id), percent(like.similarity));
        return styled(DIM, &like);
    }
    let words: Vec<_> = field.evidence_words().take(4).map(|word| printable(&html::text(word)).into_owned()).collect();
    styled(DIM, &words.join(" · "))
}

fn in_words(abstention: Abstention) -> &'static str {
    match abstention {
        Abstention::TooShort => "the text is too short",
        Abstention::UnsupportedLanguage => "the model does not know this language",
        Abstention::OutOfScope => "nothing the model knows is like this",
        Abstention::Ambiguous => "the first two are close",
        Abstention::LowConfidence => "little speaks for it",
    }
}

/// One line for one ticket of a file.
pub(super) fn decision_line(out: &mut impl Write, id: &str, decision: &TriageDecision) -> io::Result<()> {
    let priority = decision.priority.as_ref().map(|priority| priority.priority.to_string()).unwrap_or_default();
    let fields: Vec<_> = decision
        .fields
        .iter()
        .map(|field| {
            let doubt = field.abstention.map(|abstention| format!(" ({})", abstention.as_str())).unwrap_or_default();
            format!("{}{doubt}{}", field.value, mark(field.route))
        })
        .collect();
    writeln!(out, "{}\t{priority}\t{}", printable(id), fields.join("\t"))
}

/// Suggested articles, best first, each with its passage.
fn articles(out: &mut impl Write, hits: &[ArticleHit]) -> io::Result<()> {
    hits.iter().try_for_each(|hit| article(out, hit, None))
}

/// What a search found, best first, each with its passage; with a mark where it is not suggested any more, or not yet.
pub(super) fn found_articles(out: &mut impl Write, found: &[FoundArticle], today: Day) -> io::Result<()> {
    found.iter().try_for_each(|one| article(out, &one.hit, one.expired(today)))
}

fn article(out: &mut impl Write, hit: &ArticleHit, expired: Option<Day>) -> io::Result<()> {
    let kind = hit.kind.as_str().replace('_', " ");
    let status = match (hit.status, expired) {
        (ArticleStatus::Published, None) => String::new(),
        (ArticleStatus::Published, Some(last)) => styled(YELLOW, &format!(" (expired {last})")),
        (ArticleStatus::Draft | ArticleStatus::Retired, _) => styled(YELLOW, &format!(" ({})", hit.status.as_str())),
    };
    // Found by a search, where the score is all there is; or suggested, with its chance where that is known.
    let sure = match hit.chance {
        Some(chance) => format!(", {}", percent(chance)),
        None if hit.reasons.is_empty() => format!(", score {:.1}", hit.score),
        None => String::new(),
    };
    let about = styled(DIM, &format!("({kind}{sure})"));
    writeln!(out, "{}  {}{status} {about}", styled(BOLD, &printable(&hit.id)), printable(&hit.title))?;
    if !hit.reasons.is_empty() {
        let reasons: Vec<_> = hit.reasons.iter().map(reason).collect();
        writeln!(out, "    {}", printable(&reasons.join("; ")))?;
    }
    let section = hit.passage.section.map(|section| styled(DIM, &format!("{}: ", section.heading())));
    writeln!(out, "    {}{}", section.unwrap_or_default(), highlighted(&hit.passage))
}

/// A reason with the tickets that it names.
fn reason(reason: &Reason) -> String {
    match reason.kind {
        ReasonKind::SolvedSimilar => format!("{} ({})", reason.text, reason.values.join(", ")),
        ReasonKind::SharedWords | ReasonKind::SameProduct | ReasonKind::SameCategory | ReasonKind::KnownError => {
            reason.text.clone()
        }
    }
}

/// Confirmed tickets, most alike first, each with what solved it and what both have in common.
pub(super) fn similar_tickets(out: &mut impl Write, tickets: &[SimilarTicket]) -> io::Result<()> {
    for ticket in tickets {
        let day = ticket.resolved_on.map(|day| format!(", {day}")).unwrap_or_default();
        let about = styled(DIM, &format!("({} alike{day})", percent(ticket.similarity)));
        writeln!(out, "{}  {} {about}", styled(BOLD, &printable(&ticket.id)), shortened(&ticket.summary, 100))?;
        let mut facts = Vec::new();
        if !ticket.articles.is_empty() {
            facts.push(format!("solved by {}", ticket.articles.join(", ")));
        }
        facts.extend(ticket.labels.iter().map(|(field, value)| format!("{field} {value}")));
        if !facts.is_empty() {
            writeln!(out, "    {}", printable(&facts.join("; ")))?;
        }
        if !ticket.resolution.text.is_empty() {
            writeln!(out, "    {}", highlighted(&ticket.resolution))?;
        }
        let shared: Vec<_> = ticket.shared.iter().map(|shared| shortened(&html::text(&shared.text), 60)).collect();
        writeln!(out, "    {}", styled(DIM, &format!("both say: {}", shared.join(" · "))))?;
    }
    Ok(())
}

/// The passage on one line with its matches in bold.
fn highlighted(passage: &Passage) -> String {
    let mut line = String::new();
    let mut end = 0;
    for Range { start, end: next } in passage.highlights.iter().cloned() {
        line.push_str(&printable(passage.text.get(end..start).unwrap_or_default()));
        line.push_str(&styled(BOLD, &printable(passage.text.get(start..next).unwrap_or_default())));
        end = next;
    }
    line.push_str(&printable(passage.text.get(end..).unwrap_or_default()));
    line
}

/// Ticket and article text must not steer the terminal, whatever server it comes from.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    steering::one_line(text)
}

/// The text for one cell of a table: without control characters, and cut to `at_most` characters.
pub(super) fn shortened(text: &str, at_most: usize) -> String {
    let mut short = printable(text).into_owned();
    if let Some((end, _)) = short.char_indices().nth(at_most) {
        short.truncate(end);
        short.pop();
        short.push('…');
    }
    short
}

/// What to try against a demo server; the commands work by copy and paste, but for files that only the caller knows.
pub(super) fn demo_commands(
    out: &mut impl Write,
    address: SocketAddr,
    is_secured: bool,
    asks_who: bool,
) -> io::Result<()> {
    let program = program_name();
    let (server, files) = (reachable(address, is_secured), files_to_name(is_secured, asks_who));
    writeln!(out, "\nThe demo is ready. Try, in another terminal:\n")?;
    for (command, text) in [
        ("classify", "Outlook keeps asking for my password since this morning"),
        ("classify", "pls unlock my account, locked after holiday"),
        ("kb search", "outlook keeps asking for password"),
    ] {
        writeln!(out, "  {program} {command} --server {server}{files} \"{text}\"")?;
    }
    writeln!(out, "\nCtrl-C stops the server.")?;
    out.flush()
}

/// How a client on this machine names the server: a certificate is good for names more often than for addresses, and for
/// every address at once there is no name.
fn reachable(address: SocketAddr, is_secured: bool) -> String {
    let port = address.port();
    match (is_secured, address.ip().is_unspecified()) {
        (true, _) => format!("https://localhost:{port}"),
        (false, true) => format!("localhost:{port}"),
        (false, false) => address.to_string(),
    }
}

/// Flags with the files that a caller has to name.
fn files_to_name(is_secured: bool, asks_who: bool) -> String {
    let flags = [(is_secured, " --ca CA.pem"), (asks_who, " --token-file TOKEN")];
    flags.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, flag)| flag).collect()
}

/// This program as the caller can type it: relative where it lies below the working directory.
fn program_name() -> String {
    let Ok(program) = std::env::current_exe() else { return "triage".to_owned() };
    let relative = std::env::current_dir()
        .ok()
        .and_then(|here| program.strip_prefix(here).ok().map(|path| path.display().to_string()));
    let name = relative.map_or_else(|| program.display().to_string(), |path| format!("./{path}"));
    if name.contains(' ') { format!("\"{name}\"") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_called_as_its_doors_are() {
        let shown = |address: &str, is_secured, asks_who| {
            let mut out = Vec::new();
            demo_commands(&mut out, address.parse().unwrap(), is_secured, asks_who).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (address, is_secured, asks_who, expected) in [
            ("127.0.0.1:7", false, false, "--server 127.0.0.1:7 \""),
            ("0.0.0.0:7", false, true, "--server localhost:7 --token-file TOKEN \""),
            ("[::1]:7", true, false, "--server https://localhost:7 --ca CA.pem \""),
            ("10.0.0.1:7", true, true, "--server https://localhost:7 --ca CA.pem --token-file TOKEN \""),
        ] {
            assert_eq!(shown(address, is_secured, asks_who).matches(expected).count(), 3, "{address}");
        }
    }
}
