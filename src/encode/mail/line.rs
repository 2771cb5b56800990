//! What one line of a mail is, by its own words: a header, the beginning of a quoted mail, a greeting. In English and
//! German. It does not decide what is left out.

const MIN_SEPARATOR_BYTES: usize = 5;
const MAX_ATTRIBUTION_BYTES: usize = 240;
const MAX_CLOSING_BYTES: usize = 72;

/// What a line of a mail is by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    Words,
    /// Begins with `>`.
    Quoted,
    /// `-----Original Message-----`, or a row of underscores.
    Separator,
    /// `From: …`, with which the header of a quoted mail begins.
    From,
    /// `Sent: …` and the like.
    Header,
    Subject,
    /// `On Monday, Ann wrote:`
    Attribution,
    Closing,
    /// `--`, as mail programs put above a signature.
    SignatureMark,
    /// `Sent from my iPhone`
    Device,
    Disclaimer,
}

impl Kind {
    pub(super) fn of(line: &str) -> Self {
        let line = line.trim();
        let Some(first) = line.bytes().next() else { return Self::Blank };
        // Most lines begin with none of these, and are asked nothing more.
        match first.to_ascii_lowercase() {
            b'>' => Self::Quoted,
            b'-' | b'_' => Self::of_rule(line),
            b'*' | b'a'..=b'd' | b'f'..=b'i' | b'k'..=b'm' | b'o' | b'p' | b'r'..=b't' | b'v' | b'w' | b'y' => {
                Self::of_words(line)
            }
            _ => Self::Words,
        }
    }

    /// A line that begins with `-` or `_`.
    fn of_rule(line: &str) -> Self {
        const SEPARATORS: [&str; 7] = [
            "original message",
            "original appointment",
            "forwarded message",
            "ursprüngliche nachricht",
            "weitergeleitete nachricht",
            "originalnachricht",
            "original-nachricht",
        ];
        if line == "--" {
            return Self::SignatureMark;
        }
        let inner = line.trim_matches(['-', '_', ' ']);
        let is_row = inner.is_empty() && line.len() >= MIN_SEPARATOR_BYTES;
        if is_row || SEPARATORS.iter().any(|known| same(inner, known)) { Self::Separator } else { Self::Words }
    }

    fn of_words(line: &str) -> Self {
        const FROM: [&str; 2] = ["from", "von"];
        const SUBJECT: [&str; 2] = ["subject", "betreff"];
        const HEADERS: [&str; 15] = [
            "sent",
            "to",
            "cc",
            "bcc",
            "date",
            "importance",
            "priority",
            "attachments",
            "reply-to",
            "gesendet",
            "an",
            "datum",
            "wichtigkeit",
            "priorität",
            "anlagen",
        ];
        const DEVICES: [&str; 8] = [
            "sent from my ",
            "sent from outlook",
            "sent from mail for",
            "get outlook for ",
            "gesendet von meinem ",
            "gesendet von outlook",
            "von meinem iphone gesendet",
            "von meinem smartphone gesendet",
        ];
        if let Some((label, _)) = line.split_once(':').filter(|(label, _)| label.len() <= 16) {
            let label = label.trim_matches(['*', ' ']);
            for (labels, kind) in [(&FROM[..], Self::From), (&SUBJECT, Self::Subject), (&HEADERS, Self::Header)] {
                if labels.iter().any(|known| same(label, known)) {
                    return kind;
                }
            }
        }
        if line.len() <= MAX_CLOSING_BYTES && DEVICES.iter().any(|known| begins(line, known)) {
            return Self::Device;
        }
        if is_attribution(line) {
            return Self::Attribution;
        }
        if is_disclaimer(line) {
            return Self::Disclaimer;
        }
        if is_closing(line) { Self::Closing } else { Self::Words }
    }
}

/// `On Monday, 4 March 2024, Ann wrote:` and `Am 04.03.2024 schrieb Ann:`
pub(super) fn is_attribution(line: &str) -> bool {
    let names_writer = |word: &str| same(word.trim_matches(':'), "wrote") || same(word, "schrieb");
    (begins(line, "on ") || begins(line, "am "))
        && line.ends_with(':')
        && line.len() <= MAX_ATTRIBUTION_BYTES
        && line.bytes().any(|byte| byte.is_ascii_digit())
        && line.split_whitespace().any(names_writer)
}

fn is_disclaimer(line: &str) -> bool {
    const BEGINNINGS: [&str; 13] = [
        "this e-mail ",
        "this email ",
        "this message ",
        "this communication ",
        "the information contained in this ",
        "the information in this ",
        "if you are not the intended ",
        "confidentiality notice",
        "disclaimer:",
        "diese e-mail ",
        "diese nachricht ",
        "der inhalt dieser e-mail ",
        "please consider the environment",
    ];
    const MARKS: [&str; 7] =
        ["confidential", "intended", "privileged", "vertraulich", "adressat", "empfänger", "environment"];
    BEGINNINGS.iter().any(|known| begins(line, known)) && {
        let line = line.to_lowercase();
        MARKS.iter().any(|mark| line.contains(mark))
    }
}

/// A line of nothing but words that greetings are made of.
fn is_closing(line: &str) -> bool {
    const ENOUGH: [&str; 24] = [
        "regards",
        "rgds",
        "sincerely",
        "faithfully",
        "cordially",
        "cheers",
        "thanks",
        "thank",
        "thx",
        "best",
        "br",
        "wishes",
        "grüße",
        "grüßen",
        "gruß",
        "grüsse",
        "grüssen",
        "gruss",
        "mfg",
        "lg",
        "vg",
        "danke",
        "dank",
        "dankend",
    ];
    const BESIDE: [&str; 38] = [
        "kind",
        "kindest",
        "warm",
        "warmest",
        "with",
        "and",
        "many",
        "so",
        "very",
        "much",
        "a",
        "lot",
        "you",
        "again",
        "in",
        "advance",
        "for",
        "your",
        "help",
        "support",
        "yours",
        "und",
        "mit",
        "freundliche",
        "freundlichen",
        "freundlichem",
        "viele",
        "vielen",
        "beste",
        "besten",
        "liebe",
        "schöne",
        "herzliche",
        "herzlichen",
        "im",
        "voraus",
        "all",
        "team",
    ];
    if line.len() > MAX_CLOSING_BYTES {
        return false;
    }
    let mut has_enough = false;
    for word in line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
        if ENOUGH.iter().any(|known| same(word, known)) {
            has_enough = true;
        } else if !BESIDE.iter().any(|known| same(word, known)) {
            return false;
        }
    }
    has_enough && !line.bytes().any(|byte| byte.is_ascii_digit() || byte == b'?')
}

/// Whether the text is `lower` but for the case.
fn same(text: &str, lower: &str) -> bool {
    text.len() == lower.len() && begins(text, lower)
}

/// Whether the text begins with `lower` but for the case; umlauts differ from theirs in one bit.
fn begins(text: &str, lower: &str) -> bool {
    let pairs = text.bytes().zip(lower.bytes());
    text.len() >= lower.len()
        && pairs
            .into_iter()
            .all(|(byte, lower)| byte.to_ascii_lowercase() == lower || (lower >= 0x80 && byte | 0x20 == lower))
}
