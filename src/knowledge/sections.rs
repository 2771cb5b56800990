//! The sections of a known error that is written as plain Markdown: found by their headings, in English and German.
//! Whatever stands under no such heading stays the body; nothing is lost and nothing is guessed from its words.

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::markdown;
use crate::domain::known_error::{KnownError, Section};

/// A heading of the document itself, not of a list or a quotation.
struct Heading {
    level: u32,
    /// With its marks.
    bytes: Range<usize>,
    title: String,
}

/// A stretch of the text, and where it belongs; the body's where there is no section.
struct Stretch {
    section: Option<Section>,
    bytes: Range<usize>,
}

/// The body that is left, and the sections; a section that stands there twice is both, one below the other.
pub(super) fn split(text: &str) -> (String, KnownError) {
    let mut body = String::new();
    let mut known_error = KnownError::default();
    let definitions = definitions(text);
    for Stretch { section, bytes } in stretches(text, headings(text)) {
        let part = with_definitions(text, &bytes, &definitions);
        append(section.map_or(&mut body, |section| known_error.section_mut(section)), &part);
    }
    (body, known_error)
}

/// Adds a paragraph or more to a text.
pub(super) fn append(text: &mut String, part: &str) {
    let part = part.trim();
    if !text.is_empty() && !part.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(part);
}

fn headings(text: &str) -> Vec<Heading> {
    let mut headings: Vec<Heading> = Vec::new();
    let (mut depth, mut open) = (0_u32, false);
    for (event, bytes) in Parser::new_ext(text, markdown::OPTIONS).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) if depth == 0 => {
                headings.push(Heading { level: level as u32, bytes, title: String::new() });
                (depth, open) = (depth + 1, true);
            }
            Event::Start(_) => depth += 1,
            Event::End(end) => {
                depth -= 1;
                open &= !(matches!(end, TagEnd::Heading(_)) && depth == 0);
            }
            Event::Text(words) | Event::Code(words) if open => {
                if let Some(heading) = headings.last_mut() {
                    heading.title.push_str(&words);
                }
            }
            Event::Text(_)
            | Event::Code(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }
    headings
}

/// A section goes up to the next one, or to a heading that is no deeper than its own.
fn stretches(text: &str, headings: Vec<Heading>) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut current = Stretch { section: None, bytes: 0..0 };
    let mut level = 0;
    for heading in headings {
        let named = section_named(&heading.title);
        let starts = match (named, current.section) {
            (Some(_), _) => true,
            (None, Some(_)) => heading.level <= level,
            (None, None) => false,
        };
        if starts {
            // The heading of a section is its name and no part of its text.
            let start = if named.is_some() { heading.bytes.end } else { heading.bytes.start };
            current.bytes.end = heading.bytes.start;
            stretches.push(std::mem::replace(&mut current, Stretch { section: named, bytes: start..start }));
            level = heading.level;
        }
    }
    current.bytes.end = text.len();
    stretches.push(current);
    stretches
}

/// The section that a heading announces: its name alone, numbered or with a colon behind it too.
fn section_named(title: &str) -> Option<Section> {
    let name = title.trim().trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')'));
    match name.trim().trim_end_matches(':').trim_end().to_lowercase().as_str() {
        "symptom" | "symptoms" | "symptome" => Some(Section::Symptoms),
        "cause" | "causes" | "root cause" | "ursache" | "ursachen" => Some(Section::Cause),
        "workaround" | "workarounds" | "umgehung" | "umgehungslösung" => Some(Section::Workaround),
        "fix" | "resolution" | "solution" | "lösung" | "behebung" => Some(Section::Fix),
        _ => None,
    }
}

/// What links of the form `[text][label]` lead to: each label with where its line stands.
fn definitions(text: &str) -> Vec<(String, Range<usize>)> {
    let parser = Parser::new_ext(text, markdown::OPTIONS);
    let definitions = parser.reference_definitions();
    let mut found: Vec<_> =
        definitions.iter().map(|(label, definition)| (label.to_lowercase(), definition.span.clone())).collect();
    found.sort_by_key(|(_, span)| span.start);
    found
}

/// A stretch with the definitions that its links need and that stand elsewhere, so that they still lead somewhere.
fn with_definitions(text: &str, bytes: &Range<usize>, definitions: &[(String, Range<usize>)]) -> String {
    let mut part = text[bytes.clone()].trim().to_owned();
    let lower = part.to_lowercase();
    let mut needed = String::new();
    for (label, span) in definitions {
        let is_inside = bytes.start <= span.start && span.end <= bytes.end;
        if !is_inside && lower.contains(&format!("[{label}]")) {
            needed.push_str(text[span.clone()].trim());
            needed.push('\n');
        }
    }
    append(&mut part, &needed);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, body: &str, sections: [&str; 4]) {
        let (found, known_error) = split(text);
        assert_eq!(found, body, "{text}");
        assert_eq!(known_error.sections().map(|(_, text)| text).collect::<Vec<_>>(), sections, "{text}");
    }

    #[test]
    fn headings_name_the_sections() {
        check("", "", ["", "", "", ""]);
        check("Just text.", "Just text.", ["", "", "", ""]);
        check(
            "## Symptoms\n\n- one\n- two\n\n## Cause\n\nOld.\n\n## Workaround\n\n1. Wait.\n\n## Fix\n\nUpdate.\n",
            "",
            ["- one\n- two", "Old.", "1. Wait.", "Update."],
        );
        check(
            "# Ursache:\nAlt.\n# Lösung\nNeu.\n# UMGEHUNG\nWarten.\n# Symptome\nLahm.",
            "",
            ["Lahm.", "Alt.", "Warten.", "Neu."],
        );
        check("Cause\n=====\nOld.\n\nResolution\n---\nNew.\n", "", ["", "Old.", "", "New."]);
        check("## 1. Symptoms\na\n## 2) Root **cause**\nb\n## 3 Behebung\nc", "", ["a", "b", "", "c"]);
    }

    #[test]
    fn what_is_under_no_such_heading_stays_the_body() {
        check(
            "# VPN fails\n\nIntro.\n\n## Symptoms\n\nIt fails.\n\n### On a Mac\n\nToo.\n\n## References\n\nSee above.",
            "# VPN fails\n\nIntro.\n\n## References\n\nSee above.",
            ["It fails.\n\n### On a Mac\n\nToo.", "", "", ""],
        );
        check("## The cause of it all\n\nText", "## The cause of it all\n\nText", ["", "", "", ""]);
        check("## Fix\nOne.\n## Notes\nTwo.\n## Fix\nThree.", "## Notes\nTwo.", ["", "", "", "One.\n\nThree."]);
        check("## Resolution\nFirst.\n### Workaround\nWait.\n### Fix\nThen.", "", ["", "", "Wait.", "First.\n\nThen."]);
    }

    #[test]
    fn what_only_looks_like_a_heading_is_none() {
        for text in [
            "```\n# Cause\n```\n\nText",
            "> ## Cause\n>\n> quoted",
            "- # Cause\n  in a list",
            "Cause:\n\nin bold **Fix**",
            "\\# Cause",
        ] {
            check(text, text, ["", "", "", ""]);
        }
    }

    #[test]
    fn links_lead_where_they_led() {
        let (_, known_error) = split(
            "## Workaround\n\nSee [the note][N] and [kb].\n\n## Fix\n\nSee [kb][].\n\n[n]: https://x.example/n\n[kb]: https://x.example/kb",
        );
        assert_eq!(
            known_error.workaround,
            "See [the note][N] and [kb].\n\n[n]: https://x.example/n\n[kb]: https://x.example/kb"
        );
        assert_eq!(known_error.fix, "See [kb][].\n\n[n]: https://x.example/n\n[kb]: https://x.example/kb");
    }

    proptest::proptest! {
        #[test]
        fn no_word_is_lost(text in "(## (Cause|Fix|Notes|Symptome)\n|[a-e]{3} |\n|\n\n|- |> |```\n|\\[a\\]: x\n){0,30}") {
            let (body, known_error) = split(&text);
            let words = |text: &str| {
                let mut words: Vec<_> = text.split(|c: char| !c.is_alphabetic()).map(str::to_owned).collect();
                words.retain(|word| word.len() == 3 && !matches!(word.as_str(), "Fix"));
                words.sort_unstable();
                words
            };
            let parts: Vec<_> = known_error.sections().map(|(_, text)| text).chain([body.as_str()]).collect();
            proptest::prop_assert_eq!(words(&parts.join("\n")), words(&text));
        }
    }
}
