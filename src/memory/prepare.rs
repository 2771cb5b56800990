//! The one place where a ticket's text is made ready before it is kept: as training and serving read it, through
//! [`PlainText`], and redacted. Nothing of a ticket reaches the store or the index but what comes out of here.

use crate::{
    domain::{memory::ConfirmedTicket, steering},
    encode::{PlainText, Redactor, Sources, redact::Numbers},
};

/// The ticket with the text that may be kept.
pub(super) fn prepared(ticket: &ConfirmedTicket, redactor: &Redactor) -> ConfirmedTicket {
    prepared_within(ticket, usize::MAX, redactor)
}

/// The same with no more than the first `max_bytes` of summary and description, and of the resolution.
pub(crate) fn prepared_within(ticket: &ConfirmedTicket, max_bytes: usize, redactor: &Redactor) -> ConfirmedTicket {
    let text = ticket.text();
    let plain = PlainText::of(&text, max_bytes, redactor);
    let description_start = text.len() - ticket.description.len();
    let kept = plain.as_str().to_owned();
    let (summary, description) = kept.split_at(boundary(&kept, &plain.into_sources(), description_start));
    ConfirmedTicket {
        summary: seen(summary),
        description: seen(description),
        resolution: seen(PlainText::of(&ticket.resolution, max_bytes, redactor).as_str()),
        service: name(&ticket.service, redactor),
        configuration_item: name(&ticket.configuration_item, redactor),
        ..ticket.clone()
    }
}

/// What a form holds for a name, in which people also write what must not be kept.
fn name(text: &str, redactor: &Redactor) -> String {
    let made = redactor.read(&steering::without(text), &mut Numbers::default()).made;
    made.map_or_else(|| text.to_owned(), |(redacted, _)| redacted)
}

/// What a reader sees of a text: nothing that steers a terminal or turns the order of letters.
fn seen(text: &str) -> String {
    steering::without(text).trim().to_owned()
}

/// Where the first character stands that comes from behind `original_start`.
fn boundary(kept: &str, sources: &Sources, original_start: usize) -> usize {
    let places: Vec<(usize, char)> = kept.char_indices().collect();
    let is_before =
        |(at, character): &(usize, char)| sources.original(*at..*at + character.len_utf8()).start < original_start;
    places.get(places.partition_point(is_before)).map_or(kept.len(), |(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(summary: &str, description: &str, expected: (&str, &str)) {
        let ticket =
            ConfirmedTicket { summary: summary.into(), description: description.into(), ..ConfirmedTicket::default() };
        let kept = prepared(&ticket, &Redactor::default());
        assert_eq!((kept.summary.as_str(), kept.description.as_str()), expected, "{summary:?} {description:?}");
        // What is asked later is prepared as a whole.
        let (text, kept) = (ticket.text(), kept.text());
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&seen(PlainText::of(&text, usize::MAX, &Redactor::default()).as_str())), words(&kept));
    }

    #[test]
    fn summary_and_description_stay_apart() {
        check("Printer jams", "It jams\n\n since noon ", ("Printer jams", "It jams\n\n since noon"));
        check("Printer jams", "", ("Printer jams", ""));
        check("", "It jams", ("", "It jams"));
        check("Küche", "<p>T&uuml;r <b>klem</b>mt</p>", ("Küche", "Tür klemmt"));
        check("a &amp; b", "c &amp; d", ("a & b", "c & d"));
        check("x", "<br>", ("x", ""));
        check("\u{1b}[31mred\u{1b}[0m", "a\u{202e}b", ("red", "ab"));
    }

    #[test]
    fn what_mail_programs_add_is_not_kept() {
        let text = "The printer on floor two jams with every page.";
        let ticket = ConfirmedTicket {
            summary: "Printer".into(),
            description: format!("{text}\n\nKind regards\nAnn Example\nPhone 555"),
            resolution: "<p>Cleaned the <b>tray</b></p>".into(),
            service: "VPN of ann@x.example".into(),
            configuration_item: "pc, password: Hidden4You!".into(),
            ..ConfirmedTicket::default()
        };
        let kept = prepared(&ticket, &Redactor::default());
        assert_eq!(kept.description, text);
        assert_eq!(kept.resolution, "Cleaned the tray");
        assert_eq!((&*kept.service, &*kept.configuration_item), ("VPN of <email>", "pc, password: <password>"));
        assert_eq!(prepared(&kept, &Redactor::default()), kept, "what is kept stays as it is");
    }
}
