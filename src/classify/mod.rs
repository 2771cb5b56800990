//! Text to calibrated scores for every field in one pass: the model behind [`Classifier`], how it is fitted, judged,
//! and kept as a folder. It proposes labels and says when not to trust them; what to do with them is `triage`'s.

pub(crate) mod bundle;
mod calibrate;
mod centroids;
mod classifier;
mod counts;
mod cross_check;
mod embedded;
pub(crate) mod evaluate;
mod features;
mod fit;
#[doc(hidden)]
pub mod fuzzing;
mod golden;
mod heads;
mod kernel;
mod label_space;
mod manifest;
mod samples;
mod scope;
mod summary;
pub(crate) mod suspects;
mod together;
pub(crate) mod train;
pub(crate) mod training_set;

pub use bundle::BundleError;
pub use calibrate::Threshold;
pub use classifier::{Attribution, Classification, Classifier, Field, FieldScores, Ranked};
pub use summary::{BundleSummary, FieldSummary};
