//! What a credential is for.

use std::fmt;

use serde::Deserialize;

/// What a credential is for, which says what it may call: see [`super::methods`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A service-desk tool: decisions and suggestions for tickets, and what became of them.
    Triage,
    /// A chatbot's front end: answers, and the articles that they come from.
    Chatbot,
    /// A person at the desk, or the tool that acts for one: the above, and the knowledge base.
    Analyst,
    /// Imports and bulk jobs.
    Job,
    /// Everything, models and taxonomy included.
    Admin,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Triage, Self::Chatbot, Self::Analyst, Self::Job, Self::Admin];

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// As configurations and tokens write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Triage => "triage",
            Self::Chatbot => "chatbot",
            Self::Analyst => "analyst",
            Self::Job => "job",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
