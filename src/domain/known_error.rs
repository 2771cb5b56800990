//! What a known error says, section by section, and what an article's past versions are known by.

use super::{article::ArticleStatus, steering::steers};

/// A part of a known error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    Symptoms,
    Cause,
    Workaround,
    Fix,
}

impl Section {
    /// In the order in which they are read.
    pub const ALL: [Self; 4] = [Self::Symptoms, Self::Cause, Self::Workaround, Self::Fix];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Symptoms => "symptoms",
            Self::Cause => "cause",
            Self::Workaround => "workaround",
            Self::Fix => "fix",
        }
    }

    /// What stands above it where an article is shown whole.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Symptoms => "Symptoms",
            Self::Cause => "Cause",
            Self::Workaround => "Workaround",
            Self::Fix => "Fix",
        }
    }
}

/// What an article of the kind known error says beside its body; the sections are Markdown, and any may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownError {
    pub symptoms: String,
    pub cause: String,
    pub workaround: String,
    pub fix: String,
    /// Names of services and configuration items that have the error.
    pub affected: Vec<String>,
}

impl KnownError {
    pub const MAX_AFFECTED: usize = 64;
    pub const MAX_AFFECTED_CHARS: usize = 256;

    pub fn is_empty(&self) -> bool {
        self.affected.is_empty() && self.sections().all(|(_, text)| text.is_empty())
    }

    pub fn section(&self, section: Section) -> &str {
        match section {
            Section::Symptoms => &self.symptoms,
            Section::Cause => &self.cause,
            Section::Workaround => &self.workaround,
            Section::Fix => &self.fix,
        }
    }

    pub fn section_mut(&mut self, section: Section) -> &mut String {
        match section {
            Section::Symptoms => &mut self.symptoms,
            Section::Cause => &mut self.cause,
            Section::Workaround => &mut self.workaround,
            Section::Fix => &mut self.fix,
        }
    }

    /// All sections in the order in which they are read, empty ones included.
    pub fn sections(&self) -> impl Iterator<Item = (Section, &str)> {
        Section::ALL.into_iter().map(|section| (section, self.section(section)))
    }

    /// What helps whoever has the error now: the workaround, else the fix.
    pub fn remedy(&self) -> Option<Section> {
        [Section::Workaround, Section::Fix].into_iter().find(|section| !self.section(*section).trim().is_empty())
    }

    /// Bytes of the sections.
    pub fn section_bytes(&self) -> usize {
        self.sections().map(|(_, text)| text.len()).sum()
    }

    /// Bytes of all its text.
    pub fn text_bytes(&self) -> usize {
        self.section_bytes() + self.affected.iter().map(String::len).sum::<usize>()
    }
}

/// A state that an article was in, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArticleVersion {
    /// From 1; the next change makes the next one.
    pub version: u32,
    /// When it was made, in seconds since 1970; `None` for what stood there before versions were kept.
    pub made_at: Option<u64>,
    pub title: String,
    pub status: ArticleStatus,
}

/// Whether people may be sent to an address: `http` or `https`, a host, and nothing that hides where it leads, such as a
/// name before an `@`.
pub(super) fn is_link(address: &str) -> bool {
    let after = |scheme: &str| {
        address.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &address[scheme.len()..])
    };
    let Some(rest) = after("https://").or_else(|| after("http://")) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    let hides = |c: char| c.is_whitespace() || steers(c) || matches!(c, '<' | '>' | '"' | '\\' | '`' | '\'');
    !host.is_empty() && !authority.contains('@') && !address.contains(hides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_show_where_they_lead_are_links() {
        for address in [
            "https://kb.example/KB0017",
            "HTTP://kb.example",
            "http://kb.example:8080/a?b=c&d=e%20f#g",
            "https://wiki.example/Größe/日本",
            "http://[::1]:80/x",
            "https://kb.example/~user/a@b",
        ] {
            assert!(is_link(address), "{address}");
        }
        for address in [
            "",
            "KB0017",
            "kb.example/KB0017",
            "javascript:alert(1)",
            "ftp://kb.example/a",
            "file:///etc/passwd",
            "https://",
            "https:///path",
            "https://:80/",
            "https://kb.example@evil.example/",
            "https://user:secret@kb.example/",
            "https://kb.example/a b",
            "https://kb.example/\u{202e}gpj",
            "https://kb.example/\"onclick=x",
            "https://kb.example\\@evil.example",
            " https://kb.example",
        ] {
            assert!(!is_link(address), "{address}");
        }
    }

    #[test]
    fn the_workaround_helps_first() {
        let mut known = KnownError { fix: "Update.".into(), workaround: " \n".into(), ..KnownError::default() };
        assert_eq!(known.remedy(), Some(Section::Fix));
        known.workaround = "Restart.".into();
        assert_eq!(known.remedy(), Some(Section::Workaround));
        assert_eq!(KnownError { cause: "Age.".into(), ..KnownError::default() }.remedy(), None);
        assert!(KnownError::default().is_empty() && !known.is_empty());
        assert_eq!(known.section_bytes(), 15);
    }
}
