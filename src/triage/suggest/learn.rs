//! Learns from the desk's own links how much each kind of evidence counts and how sure a suggestion is: every ticket of a
//! sample is asked as if it were not in the memory. The same memory and articles teach the same.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Evidence, Suggester,
    chance::{self, Calibration},
    fit::{self, Sample},
    weights::{self, Basis, Weights},
};
use crate::{
    domain::article::Day,
    error::TriageError,
    knowledge::KnowledgeView,
    memory::{Copies, Memory, MemoryView},
};

/// Raise with every change to what is learned or how: what an older program learned is then learned again.
const VERSION: u32 = 3;
/// So many tickets are asked, the same ones for the same memory: so few weights want no more.
const MAX_TICKETS: usize = 2_000;
/// At a time.
const TICKETS_PER_STEP: usize = 16;

/// What was learned from the desk's own links.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learned {
    version: u32,
    /// The changes to memory and knowledge base that it was learned from.
    memory: u64,
    knowledge: u64,
    /// Tickets that an article had solved then.
    linked: u64,
    /// SHA-256 of the sentence encoder that read tickets and articles.
    encoder: Option<String>,
    /// `None` where those that hold without a fit do as well.
    weights: Option<Weights>,
    /// `None` where there were too few links.
    calibration: Option<Calibration>,
}

impl Learned {
    /// `None` for what another program wrote, or was learned with another sentence encoder.
    pub(super) fn parse(content: &str, encoder: Option<&str>) -> Option<Self> {
        let learned: Self = serde_json::from_str(content).ok()?;
        (learned.version == VERSION && learned.encoder.as_deref() == encoder).then_some(learned)
    }

    /// Whether it is about evidence of this kind, of as many links as are enough.
    fn holds(&self, basis: Basis, enough: usize) -> bool {
        basis.linked >= enough as u64 && basis.has_meaning == self.encoder.is_some()
    }

    /// The change to the memory that it was learned from; 0 before anything was.
    pub(super) fn memory_version(&self) -> u64 {
        self.memory
    }

    pub(super) fn weights(&self, basis: Basis) -> Weights {
        let fitted = self.weights.filter(|_| self.holds(basis, fit::MIN_TICKETS));
        fitted.unwrap_or_else(|| weights::ramp(basis))
    }

    /// The chance that a candidate of this share is the one, 0 to 1; `None` where there are too few links to tell.
    pub(super) fn chance(&self, share: f64, basis: Basis) -> Option<f32> {
        let calibration = self.calibration.as_ref().filter(|_| self.holds(basis, chance::MIN_TICKETS))?;
        #[expect(clippy::cast_possible_truncation, reason = "a chance in single precision")]
        let chance = calibration.chance(share) as f32;
        Some(chance)
    }

    /// Whether the links have grown or shrunk by a quarter since.
    fn is_outgrown(&self, linked: u64) -> bool {
        let enough = chance::MIN_TICKETS as u64;
        let changed = linked * 4 >= self.linked * 5 || self.linked * 4 >= linked * 5;
        changed && linked.max(self.linked) >= enough
    }
}

/// Learning under way.
pub(crate) struct Learning {
    suggester: Suggester,
    today: Day,
    learned: Learned,
    tickets: std::vec::IntoIter<String>,
    samples: Vec<Sample>,
}

impl Suggester {
    /// Begins to learn where links came or went since the last time, or articles changed.
    pub(crate) fn learning(&self, today: Day) -> Option<Learning> {
        let (memory, known) = (self.memory.as_ref()?, self.learned());
        if (known.memory, known.knowledge) == (memory.version(), self.knowledge.version()) {
            return None;
        }
        Some(self.begin(memory, today))
    }

    /// Begins to learn where the links have grown or shrunk by a quarter since the last time.
    pub(crate) fn learning_when_due(&self, today: Day) -> Option<Learning> {
        let memory = self.memory.as_ref()?;
        self.learned().is_outgrown(memory.view().linked()).then(|| self.begin(memory, today))
    }

    fn begin(&self, memory: &Memory, today: Day) -> Learning {
        let view = memory.view();
        let linked = view.linked();
        let enough = linked >= chance::MIN_TICKETS as u64;
        let tickets = if enough { view.linked_sample(MAX_TICKETS) } else { Vec::new() };
        let learned = Learned {
            version: VERSION,
            memory: view.version(),
            knowledge: self.knowledge.version(),
            linked,
            encoder: self.knowledge.encoder().map(|encoder| encoder.sha256().to_owned()),
            ..Learned::default()
        };
        let tickets = tickets.into_iter();
        Learning { suggester: self.clone(), today, learned, tickets, samples: Vec::new() }
    }

    /// A ticket of the memory asked as if it were not in it; `None` where it was deleted meanwhile.
    fn sample(
        &self,
        id: &str,
        (memory, view): (&Memory, &MemoryView<'_>),
        knowledge: &KnowledgeView<'_>,
        today: Day,
    ) -> Result<Option<Sample>, TriageError> {
        let Some(ticket) = memory.get(id)? else { return Ok(None) };
        let text = ticket.text();
        let question = self.confirmed(&ticket, &text, view)?;
        let Evidence { candidates, features, .. } =
            Evidence::gather(knowledge, Some(view), &question, Copies::LeftOut, today)?;
        let is_right = |place: &usize| ticket.articles.contains(&candidates.list[*place].id);
        let right = (0..candidates.list.len()).filter(is_right).collect();
        // By the text, so that copies fall into the same half.
        Ok(Some(Sample { features, right, in_first_half: xxh3_64(text.as_bytes()).is_multiple_of(2) }))
    }
}

impl Learning {
    /// Asks some tickets; whether there are more.
    pub(crate) fn step(&mut self) -> Result<bool, TriageError> {
        let Some(memory) = &self.suggester.memory else { return Ok(false) };
        let of = (memory, &memory.view());
        let knowledge = self.suggester.knowledge.view();
        for id in self.tickets.by_ref().take(TICKETS_PER_STEP) {
            self.samples.extend(self.suggester.sample(&id, of, &knowledge, self.today)?);
        }
        Ok(self.tickets.len() > 0)
    }

    /// Keeps what was learned and uses it from now on; from how many links it was.
    pub(crate) fn finish(self) -> Result<u64, TriageError> {
        let Self { suggester, learned, samples, .. } = self;
        let prior = weights::ramp(Basis { linked: learned.linked, has_meaning: learned.encoder.is_some() });
        let fitted = fit::fit(&samples, &prior);
        let used = fitted.unwrap_or(prior);
        let best: Vec<_> = samples.iter().filter_map(|sample| sample.best(&used)).collect();
        let learned = Learned { weights: fitted, calibration: chance::calibrate(&best), ..learned };
        let content = serde_json::to_string(&learned).map_err(TriageError::internal)?;
        if let Some(memory) = &suggester.memory {
            memory.keep_learned(&content)?;
        }
        let links = learned.linked;
        suggester.use_learned(learned);
        Ok(links)
    }
}
