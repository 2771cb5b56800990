//! What mail programs add to what a person wrote: headers and history of quoted mails, greetings with signatures,
//! disclaimers, names of pasted pictures. It finds them line by line, in English and German, and leaves the first line
//! alone, which is a ticket's summary. The first quoted mail stays: in a forwarded mail it is the ticket, and on the
//! tickets of a real desk every rule that left it out, however much its sender had written, cost right answers.

mod line;

use std::ops::Range;

use self::line::{Kind, is_attribution};

/// What answers or forwards a mail says enough by itself where it has so many words.
const MIN_OWN_WORDS: usize = 10;
/// A greeting ends a mail only where at least so many words stand between it and the mail's beginning.
const MIN_WORDS_BEFORE_CLOSING: usize = 4;
/// What follows a greeting is a signature if it is no longer than this.
const MAX_SIGNATURE_LINES: usize = 10;
const MAX_SIGNATURE_LINE_BYTES: usize = 80;
const PICTURE: &str = "[cid:";

struct Line {
    /// With the newline at its end.
    bytes: Range<usize>,
    kind: Kind,
    /// How many bytes from its beginning are left out.
    left_out: usize,
}

impl Line {
    fn leave_out(&mut self) {
        self.left_out = self.bytes.len();
    }

    fn is_left_out(&self) -> bool {
        self.left_out == self.bytes.len()
    }
}

/// The stretches of a text that are no words of its matter, in order. With a text that is cut off, nothing is taken
/// for a signature at its end.
pub(super) fn furniture(text: &str, is_cut: bool) -> Vec<Range<usize>> {
    let Some(summary_end) = text.find('\n') else { return Vec::new() };
    let body = &text[summary_end + 1..];
    let has_pictures = body.contains(PICTURE);
    let tells = |kind| !matches!(kind, Kind::Blank | Kind::Words | Kind::Header | Kind::Subject);
    if !has_pictures && !body.lines().any(|line| tells(Kind::of(line))) {
        return Vec::new();
    }
    let mut at = summary_end + 1;
    let mut lines: Vec<Line> = body
        .split_inclusive('\n')
        .map(|line| {
            let bytes = at..at + line.len();
            at = bytes.end;
            Line { bytes, kind: Kind::of(line), left_out: 0 }
        })
        .collect();
    let mails = part_mails(text, &mut lines);
    leave_out_quoted_lines(text, &mut lines);
    for (number, mail) in mails.iter().enumerate() {
        let is_last = number + 1 == mails.len();
        leave_out_end(text, &mut lines[mail.clone()], is_cut && is_last);
    }
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for line in &lines {
        let kept = line.bytes.start + line.left_out;
        match stretches.last_mut() {
            _ if line.left_out == 0 => {}
            Some(last) if last.end == line.bytes.start => last.end = kept,
            Some(_) | None => stretches.push(line.bytes.start..kept),
        }
        stretches.extend(pictures(text, kept..line.bytes.end));
    }
    stretches
}

/// Leaves out headers but for the words of the subject, and all that follows two mails that say enough: "FYI" above a
/// forwarded mail, or the header of the ticket's own mail, does not. Returns the lines of the mails that are left.
fn part_mails(text: &str, lines: &mut [Line]) -> Vec<Range<usize>> {
    let mut mails = Vec::new();
    let mut telling = 0;
    let mut start = 0;
    let mut number = 0;
    while number < lines.len() {
        let header = number + usize::from(lines[number].kind == Kind::Separator);
        let header_lines = header_lines(&lines[header..]);
        let end = if header_lines > 0 {
            header + header_lines
        } else if lines[number].kind == Kind::Attribution {
            number + 1
        } else {
            number += 1;
            continue;
        };
        mails.push(start..number);
        let said = lines[start..number].iter().map(|line| words(&text[line.bytes.clone()])).sum::<usize>();
        telling += usize::from(said >= MIN_OWN_WORDS);
        if telling == 2 {
            lines[number..].iter_mut().for_each(Line::leave_out);
            return mails;
        }
        for line in &mut lines[number..end] {
            if line.kind == Kind::Subject {
                line.left_out = text[line.bytes.clone()].find(':').map_or(0, |colon| colon + 1);
            } else {
                line.leave_out();
            }
        }
        start = end;
        number = end;
    }
    mails.push(start..lines.len());
    mails
}

/// How many lines the header of a mail has that begins with the first of these; 0 where none does. A form may ask
/// `From:` and `To:`, a mail has a subject as well.
fn header_lines(lines: &[Line]) -> usize {
    const MIN_LINES: usize = 3;
    if lines.first().is_none_or(|line| line.kind != Kind::From) {
        return 0;
    }
    let is_header = |line: &&Line| matches!(line.kind, Kind::Header | Kind::Subject);
    let count = 1 + lines[1..].iter().take_while(is_header).count();
    let has_subject = lines[..count].iter().any(|line| line.kind == Kind::Subject);
    if count >= MIN_LINES && has_subject { count } else { 0 }
}

/// Leaves out an answered mail where the answer says enough. Lines beginning with `>` are one only below an
/// attribution; elsewhere they are prompts, errors, lists.
fn leave_out_quoted_lines(text: &str, lines: &mut [Line]) {
    let answers = |line: &Line| is_attribution(text[line.bytes.clone()].trim_matches(['>', ' ', '\r', '\n']));
    let Some(attribution) = lines.iter().position(answers) else { return };
    let own = lines.iter().filter(|line| line.kind != Kind::Quoted && !line.is_left_out());
    if own.map(|line| words(&text[line.bytes.clone()])).sum::<usize>() >= MIN_OWN_WORDS {
        lines[attribution..].iter_mut().filter(|line| line.kind == Kind::Quoted).for_each(Line::leave_out);
    }
}

/// Leaves out disclaimers and the names of devices anywhere in one mail, and its greeting with what follows.
fn leave_out_end(text: &str, lines: &mut [Line], is_cut: bool) {
    let mut is_disclaimer = false;
    for line in lines.iter_mut() {
        is_disclaimer = line.kind == Kind::Disclaimer || (is_disclaimer && line.kind != Kind::Blank);
        if is_disclaimer || line.kind == Kind::Device {
            line.leave_out();
        }
    }
    if is_cut {
        return;
    }
    let ends = |line: &Line| !line.is_left_out() && matches!(line.kind, Kind::Closing | Kind::SignatureMark);
    let Some(closing) = lines.iter().rposition(ends) else { return };
    let (before, end) = lines.split_at_mut(closing);
    let before = before.iter().filter(|line| !line.is_left_out()).map(|line| words(&text[line.bytes.clone()]));
    if before.sum::<usize>() < MIN_WORDS_BEFORE_CLOSING {
        return;
    }
    let mut signature = end[1..].iter().filter(|line| !line.is_left_out() && line.kind != Kind::Blank);
    let is_short = signature.clone().count() <= MAX_SIGNATURE_LINES;
    if is_short && signature.all(|line| is_of_signature(text[line.bytes.clone()].trim())) {
        end.iter_mut().for_each(Line::leave_out);
    }
}

/// Whether a line may stand in a signature: short, and neither a question nor a word more about the matter.
fn is_of_signature(line: &str) -> bool {
    const MATTER: [&str; 9] = ["ps", "p.s", "error", "fehler", "please", "bitte", "ticket", "issue", "problem"];
    line.len() <= MAX_SIGNATURE_LINE_BYTES
        && !line.contains(['?', '!'])
        && !line.split([' ', ':', ',', '.']).any(|word| MATTER.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

/// The names of pictures within a line, such as `[cid:image001.png@01D2]`.
fn pictures(text: &str, line: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let within = &text[line.clone()];
    within.match_indices(PICTURE).filter_map(move |(start, _)| {
        let name = start + PICTURE.len();
        let end = name + within[name..].find(['[', ']'])?;
        within[end..].starts_with(']').then(|| line.start + start..line.start + end + 1)
    })
}

fn words(line: &str) -> usize {
    line.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of the text.
    fn left(text: &str) -> String {
        let mut left = String::new();
        let mut from = 0;
        for stretch in furniture(text, false) {
            left.push_str(&text[from..stretch.start]);
            from = stretch.end;
        }
        left + &text[from..]
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(left(text).trim_end(), expected, "{text}");
    }

    #[test]
    fn a_ticket_without_a_mail_around_it_stays_as_it_is() {
        for text in [
            "",
            "From: me",
            "vpn down",
            "best regards\n",
            "vpn down\nIt fails - since noon\n\nbest choice: restart it\nthanks for the quick look at the vpn",
            "Mover\nFrom: Vienna\nTo: Graz\nDate: 1 May\nKeep: mailbox, phone",
            "size\n> 5 GB is refused",
            "On holiday\nOn 3 May I wrote: it fails\nand so on",
            "Sent items\nsent from my account, but nobody gets them; the list of recipients was long, I think",
            "[cid:x] in the summary\nstays",
            "mail\n[cid:never closed",
            "this message appears\nThis message appears when I log in",
        ] {
            assert_eq!(left(text), text);
        }
    }

    #[test]
    fn headers_of_a_forwarded_mail_go_and_its_words_stay() {
        check(
            "FW: scanner\nFYI\n\nFrom: Ann\nSent: Monday\nTo: Desk\nSubject: scanner is dead\n\nIt does not scan.",
            "FW: scanner\nFYI\n\n scanner is dead\n\nIt does not scan.",
        );
        check(
            "WG: Scanner\nbitte helfen\n-----Ursprüngliche Nachricht-----\nVon: Ann\nGesendet: Montag\nAn: Desk\n\
             Betreff: Scanner tot\nEr scannt nicht.",
            "WG: Scanner\nbitte helfen\n Scanner tot\nEr scannt nicht.",
        );
        check("Re: x\nOn 3 May 2024, Ann wrote:\n> it fails", "Re: x\n> it fails");
    }

    #[test]
    fn what_two_mails_that_say_enough_were_about_goes() {
        let header = "From: Ann\nSent: Monday\nTo: Desk\nSubject: s\n";
        let own = "please look at the mail below, the scanner does this every single day";
        let first = "the scanner on floor two does not send anything to my mailbox since noon";
        check(&format!("a\n{own}\n{header}{first}\n{header}second\n"), &format!("a\n{own}\n s\n{first}"));
        check(
            &format!("a\n{own}\nAm 3.5.2024 schrieb Ann:\n{first}\nOn 2 May 2024 Bob <b@x.example> wrote:\nsecond"),
            &format!("a\n{own}\n{first}"),
        );
        check(&format!("a\nFYI\n{header}{first}\n{header}second\n"), &format!("a\nFYI\n s\n{first}\n s\nsecond"));
        check(&format!("a\n{header}{own}\n{header}second\n"), &format!("a\n s\n{own}\n s\nsecond"));
    }

    #[test]
    fn the_answered_mail_goes_where_the_sender_says_enough() {
        let own = "the printer on floor two still does not print since you restarted it";
        let quoted = "> did you restart it?\n> Desk";
        check(&format!("Re: x\n{own}\n\nOn 3 May 2024, Desk wrote:\n{quoted}"), &format!("Re: x\n{own}"));
        check(&format!("Re: x\n{own}\n> Am 3.5. schrieb Desk:\n{quoted}\nAnn"), &format!("Re: x\n{own}\nAnn"));
        check("Re: x\nsee below\nOn 3 May, Ann wrote:\n> it jams", "Re: x\nsee below\n> it jams");
        let prompts = format!("x\n{own}\n> net use\n>>> import x\n> System error 53");
        check(&prompts, &prompts);
    }

    #[test]
    fn a_greeting_goes_with_the_signature_behind_it() {
        let ticket = "vpn\nthe vpn drops every hour";
        for end in [
            "Best regards,\nAnn Example\nSales, Example Ltd.\n+44 20 0000",
            "Mit freundlichen Grüßen / best regards\n\nAnn",
            "MIT FREUNDLICHEN GRÜSSEN\nAnn",
            "Viele Grüße\nAnn",
            "Thanks,\nAnn\n\nSent from my iPhone",
            "thanks & regards",
            "-- \nAnn\nDesk 4",
            "Sent from my iPhone",
            "Thank you very much in advance!\n\nAnn\n\nThis e-mail may contain confidential words.\nIf so, delete it.",
        ] {
            check(&format!("{ticket}\n\n{end}"), ticket);
        }
    }

    #[test]
    fn a_greeting_before_the_matter_stays() {
        for text in [
            "vpn\nhi team,\nthanks\nthe vpn drops",
            "vpn\nthe vpn drops every hour\nthanks\nPS: only at home",
            "vpn\nthe vpn drops every hour\nthanks\nerror 0x80070005",
            "vpn\nthe vpn drops every hour\nthanks\nwill you call me?",
        ] {
            check(text, text);
        }
        let long = "x".repeat(90);
        check(
            &format!("a\nthe vpn drops every hour\nthanks\n{long}"),
            &format!("a\nthe vpn drops every hour\nthanks\n{long}"),
        );
        let cut = "vpn\nthe vpn drops every hour\nthanks\nAnn";
        assert!(furniture(cut, true).is_empty());
    }

    #[test]
    fn names_of_pictures_go_from_within_a_line() {
        check("a\nsee [cid:image001.png@01D2] here [cid:x]", "a\nsee  here");
    }
}
