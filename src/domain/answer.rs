//! What a chatbot is answered: passages that may be shown, or why there is none and what to do then.

use std::ops::Range;

use super::{article::ArticleKind, known_error::Section};

/// Something that was said in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub speaker: Speaker,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    User,
    Bot,
}

/// What the desk sets for chatbots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerSettings {
    /// Least chance that a passage solves the matter, 0 to 1, for it to be shown.
    pub min_confidence: f32,
    /// How long a conversation may rest, in seconds.
    pub conversation_seconds: u64,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self { min_confidence: 0.05, conversation_seconds: 3_600 }
    }
}

/// A stretch of an article that answers, as plain text: what the article says and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerPassage {
    /// All of it; steps are lines of their own, and what stands below a step follows it in further lines.
    pub text: String,
    /// UTF-8 byte ranges of `text`, of the question's words; in order, not overlapping.
    pub highlights: Vec<Range<usize>>,
    /// What stands before the steps; empty without steps.
    pub introduction: String,
    /// The items of a list in order; empty where it holds none.
    pub steps: Vec<String>,
    /// Whether the list, the code or the long sentence goes on in the article.
    pub truncated: bool,
    /// Which section of a known error it is from; `None` for what stands in the body.
    pub section: Option<Section>,
    /// The heading it stands under; may be empty.
    pub heading: String,
}

impl AnswerPassage {
    pub const MAX_STEPS: usize = 10;
    /// All steps together.
    pub const MAX_STEPS_BYTES: usize = 1_200;
    /// Of the introduction, and of a passage without steps.
    pub const MAX_WORDS: usize = 36;
    /// Of lines of code that go with a sentence.
    pub const MAX_CODE_BYTES: usize = 600;
}

/// A passage that may be shown, with where it stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    pub article: String,
    pub version: u32,
    pub title: String,
    pub link: Option<String>,
    pub kind: ArticleKind,
    pub passage: AnswerPassage,
    /// The chance that it solves the matter, 0 to 1.
    pub confidence: f32,
}

/// Why nothing is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum NoAnswer {
    /// In the desk's subjects, and no article fits.
    NothingFound(Handover),
    /// Articles of several products fit equally well.
    SeveralProducts(ClarifyingQuestion),
    /// About nothing that the knowledge base is about.
    OutOfScope(Handover),
    SmallTalk(SmallTalk),
    /// The user asked for a person.
    PersonRequested(Handover),
    /// Everything that fits was shown in this conversation.
    AllShown(Handover),
    /// Too little to go by.
    TooShort,
}

impl NoAnswer {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NothingFound(_) => "NOTHING_FOUND",
            Self::SeveralProducts(_) => "SEVERAL_PRODUCTS",
            Self::OutOfScope(_) => "OUT_OF_SCOPE",
            Self::SmallTalk(_) => "SMALL_TALK",
            Self::PersonRequested(_) => "PERSON_REQUESTED",
            Self::AllShown(_) => "ALL_SHOWN",
            Self::TooShort => "TOO_SHORT",
        }
    }
}

/// What is said that is about nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmallTalk {
    Acknowledgement,
    Greeting,
    Thanks,
    Goodbye,
    AboutTheBot,
}

impl SmallTalk {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledgement => "ACKNOWLEDGEMENT",
            Self::Greeting => "GREETING",
            Self::Thanks => "THANKS",
            Self::Goodbye => "GOODBYE",
            Self::AboutTheBot => "ABOUT_THE_BOT",
        }
    }
}

/// What to ask the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClarifyingQuestion {
    pub text: String,
    /// Names of products, likeliest first.
    pub choices: Vec<String>,
}

/// What a person needs to know who takes over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handover {
    /// In the user's own words and order.
    pub sentences: Vec<String>,
    /// What was shown and did not end the conversation, in that order.
    pub tried: Vec<TriedAnswer>,
    /// Products that the user chose or named.
    pub products: Vec<String>,
}

/// A passage that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedAnswer {
    pub article: String,
    pub version: u32,
    /// Empty where the article was deleted since.
    pub title: String,
}

impl Handover {
    /// All of it as some lines.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        if !self.sentences.is_empty() {
            lines.push("The user said:".to_owned());
            lines.extend(self.sentences.iter().map(|sentence| format!("- {sentence}")));
        }
        if !self.products.is_empty() {
            lines.push(format!("Products: {}", self.products.join(", ")));
        }
        if !self.tried.is_empty() {
            let tried = self.tried.iter().map(|TriedAnswer { article, version, title }| match title.as_str() {
                "" => format!("{article} (version {version}, deleted since)"),
                title => format!("{title} ({article}, version {version})"),
            });
            lines.push(format!("Shown without success: {}", tried.collect::<Vec<_>>().join("; ")));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_was_said_and_what_was_tried() {
        assert_eq!(Handover::default().summary(), "");
        let tried = |version, title: &str| TriedAnswer { article: "KB1".into(), version, title: title.into() };
        let handover = Handover {
            sentences: vec!["VPN drops.".into(), "It is the Mac.".into()],
            tried: vec![tried(2, "VPN at home"), tried(1, "")],
            products: vec!["VPN client".into()],
        };
        assert_eq!(
            handover.summary(),
            "The user said:\n- VPN drops.\n- It is the Mac.\nProducts: VPN client\nShown without success: VPN at home (KB1, \
             version 2); KB1 (version 1, deleted since)"
        );
    }
}
