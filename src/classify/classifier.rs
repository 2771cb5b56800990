//! The handle through which a model is used: text in, ranked and calibrated labels of every field out, and on
//! request the words that carried one of them.

use std::{cmp::Reverse, collections::BTreeMap, fmt, ops::Range, path::Path, sync::Arc};

use super::{
    bundle::{self, BundleError, Files},
    calibrate::{self, Threshold},
    embedded, features, golden,
    heads::{Activation, Heads, Shares},
    kernel,
    label_space::LabelSpace,
    manifest::{FieldManifest, Manifest},
    scope::{self, Signals},
};
use crate::{
    compute,
    domain::{decision::Abstention, route::Precision},
    encode::{Encoders, PlainText, Redactor, Sentence, SentenceEncoder, Sources, StaticVectors, TextVector, WordPiece},
};

/// A model in memory. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Classifier {
    model: Arc<Model>,
    redactor: Redactor,
}

struct Model {
    version: String,
    manifest: Manifest,
    fields: Vec<Field>,
    /// The field with most labels and its first column: its best score says whether the text is known at all.
    widest: Range<usize>,
    heads: Heads,
    space: LabelSpace,
    pieces: WordPiece,
    vectors: StaticVectors,
    /// Reads texts beside the n-grams, where the model was trained with one.
    encoder: Option<SentenceEncoder>,
}

/// A field that the model fills.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: Arc<str>,
    pub labels: Vec<Arc<str>>,
    /// From which confidence on training certified a precision, by that precision (`0.80` to `0.99`); a precision
    /// that nothing certifies is missing.
    pub thresholds: BTreeMap<String, Threshold>,
    first_column: usize,
}

/// What the model makes of one text.
#[derive(Debug, Clone)]
pub struct Classification {
    /// Only the beginning of the text was read.
    pub truncated: bool,
    /// In the order of [`Classifier::fields`].
    pub fields: Vec<FieldScores>,
    /// The likelihood, 0 to 1, that the text is about nothing the model learnt.
    pub out_of_scope: f32,
    activation: Activation,
    sources: Sources,
}

/// The labels of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldScores {
    pub name: Arc<str>,
    /// Every label, most likely first.
    pub ranked: Vec<Ranked>,
    /// Why the best guess should not be used unseen.
    pub abstention: Option<Abstention>,
}

/// A label and the calibrated probability that it is right.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    pub label: Arc<str>,
    pub confidence: f32,
}

/// A word of the text and what it added to a label's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// UTF-8 bytes of the text as it was given: of HTML, with what stands within the word, such as `&uuml;`; for a
    /// placeholder, the value that it stands for.
    pub bytes: Range<usize>,
    pub weight: f32,
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier").field("version", &self.model.version).finish_non_exhaustive()
    }
}

impl Classifier {
    /// The default bundle inside the binary.
    pub fn embedded() -> Result<Self, BundleError> {
        Self::with_encoder(&embedded::default_bundle(), None)
    }

    /// Reads a bundle from its folder; refuses one that is damaged or of another version, or whose sentence encoder
    /// is not to be had.
    pub fn load(folder: &Path, encoders: &Encoders) -> Result<Self, BundleError> {
        Self::from_files(&bundle::read(folder)?, encoders)
    }

    /// Checks the files and makes the model of them, with the sentence encoder that they name.
    pub(crate) fn from_files(files: &Files, encoders: &Encoders) -> Result<Self, BundleError> {
        let encoder = Manifest::parse(manifest_of(files))?.encoder;
        let encoder = encoder.map(|record| encoders.recorded(&record, RETRAIN)).transpose()?;
        Self::with_encoder(files, encoder)
    }

    /// Checks the files and makes the model of them; `encoder` is the one that they name.
    pub(super) fn with_encoder(files: &Files, encoder: Option<SentenceEncoder>) -> Result<Self, BundleError> {
        let raw = manifest_of(files);
        let manifest = Manifest::parse(raw)?;
        bundle::check_hashes(&manifest, files)?;
        let version = format!("{}+{}", manifest.name, &bundle::sha256(raw)[..8]);
        let classifier = Self::assemble(version, manifest, files, encoder)?;
        golden::check(&classifier, files.get(bundle::GOLDEN).map(AsRef::as_ref).unwrap_or_default())?;
        Ok(classifier)
    }

    /// Makes the model of files that need no check.
    pub(super) fn assemble(
        version: String,
        manifest: Manifest,
        files: &Files,
        encoder: Option<SentenceEncoder>,
    ) -> Result<Self, BundleError> {
        let weights = files.get(bundle::WEIGHTS).map(AsRef::as_ref).unwrap_or_default();
        let sentence_features = encoder.as_ref().map(|encoder| kernel::features_of(encoder.dimensions()));
        let planes = bundle::read_planes(weights, manifest.columns(), sentence_features)?;
        let heads = Heads::new(planes, manifest.block_weights())
            .ok_or_else(|| BundleError::Weights("two features have the same key".to_owned()))?;
        let space = bundle::read_label_space(weights, manifest.columns() - 1)?;
        let (pieces, vectors) = embedded::encoder(files)?;
        let mut column = 0;
        let fields: Vec<Field> = manifest
            .fields
            .iter()
            .map(|field| {
                let first_column = column;
                column += field.labels.len();
                Field {
                    name: field.name.as_str().into(),
                    labels: field.labels.iter().map(|label| label.as_str().into()).collect(),
                    thresholds: field.thresholds.clone(),
                    first_column,
                }
            })
            .collect();
        // The first of the widest, so that ties do not depend on anything else.
        let widest = fields.iter().min_by_key(|field| Reverse(field.labels.len())).map(Field::columns);
        let widest = widest.unwrap_or_default();
        let model = Arc::new(Model { version, manifest, fields, widest, heads, space, pieces, vectors, encoder });
        Ok(Self { model, redactor: Redactor::default() })
    }

    /// The same, reading texts with these rules; they should be those that the model was trained with.
    #[must_use]
    pub fn with_redactor(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    /// The rules that texts are read with.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The bundle's name and a hash of its content, such as `default-1+3fa9c2d1`.
    pub fn version(&self) -> &str {
        &self.model.version
    }

    pub fn fields(&self) -> &[Field] {
        &self.model.fields
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.model.manifest
    }

    /// Texts of a higher [`Classification::out_of_scope`] are out of scope.
    pub fn out_of_scope_threshold(&self) -> f32 {
        self.model.manifest.scope.threshold
    }

    /// Whether a sentence encoder reads the texts beside n-grams.
    pub fn has_encoder(&self) -> bool {
        self.model.encoder.is_some()
    }

    /// Scores every field. A text without words is answered from what is common, and says `TOO_SHORT`.
    pub fn classify(&self, text: &str) -> Classification {
        self.classify_until(text, &|| false)
    }

    /// The same for somebody who waits for it: once he has gone, what the sentence encoder would say is left out, since
    /// nobody reads the answer. Of what is written down, [`Self::classify`] is asked.
    pub fn classify_for_caller(&self, text: &str) -> Classification {
        self.classify_until(text, &compute::is_abandoned)
    }

    fn classify_until(&self, text: &str, stop: &dyn Fn() -> bool) -> Classification {
        let model = &*self.model;
        let plain = features::readable(text, &self.redactor);
        let sentence = model.sentence(&plain, stop);
        let truncated = plain.is_truncated() || sentence.as_ref().is_some_and(|sentence| sentence.truncated);
        let activation = model.heads.activate(&plain, &model.pieces, &model.vectors, sentence);
        let scores = model.heads.scores(&activation);
        let out_of_scope = model.manifest.scope.score(&model.signals(&activation, &scores));
        let of_text = model.abstention(&plain.words(), &activation, out_of_scope);
        let confidences = model.confidences(&scores);
        let fields = model.fields.iter().zip(&model.manifest.fields).zip(confidences);
        let fields = fields.map(|((field, manifest), own)| field.rank(manifest, own, of_text)).collect();
        Classification { truncated, fields, out_of_scope, activation, sources: plain.into_sources() }
    }

    /// Whether training certified that guesses of `label` with this confidence are right at least as often as
    /// `precision` asks: the lowest certified precision that reaches it counts. `false` where there is none, and for
    /// fields and labels that the model does not know. What is certified at all is so at confidence 1.
    pub fn certifies(&self, field: &str, label: &str, confidence: f32, precision: Precision) -> bool {
        let known = self.model.fields.iter().find(|known| &*known.name == field);
        known.is_some_and(|field| {
            field.threshold(precision).is_some_and(|threshold| threshold.is_met(label, confidence))
                && field.labels.iter().any(|known| &**known == label)
        })
    }

    /// Why a best guess of `field` with this confidence should not be used unseen, where the next best has the
    /// `second` one; for labels that are weighed otherwise than the model did.
    pub fn doubt(&self, field: &str, first: f32, second: Option<f32>) -> Option<Abstention> {
        let known = self.model.manifest.fields.iter().find(|known| known.name == field)?;
        doubt(known, first, second)
    }

    /// A text's vector with what tells this model's labels apart brought out, to be compared with what labels have.
    pub(crate) fn contrasted(&self, vector: &TextVector) -> TextVector {
        self.model.space.contrasted(vector)
    }

    /// How like a contrasted text is to those labels of `field` that count, taken together; `None` where there are none, the field is
    /// not known, or the bundle is older than that.
    pub(crate) fn likeness(&self, field: &str, vector: &TextVector, counts: impl Fn(&str) -> bool) -> Option<f32> {
        let known = self.model.fields.iter().find(|known| &*known.name == field)?;
        let columns = known.columns().zip(&known.labels).filter(|(_, label)| counts(label));
        self.model.space.likeness(columns.map(|(column, _)| column), vector)
    }

    /// For each of these fields, the words that spoke for one of its labels, strongest first, at most `at_most`; words
    /// that spoke against it are left out. A word's weight is its exact share of the label's score. Nothing speaks for
    /// labels that the model does not know.
    pub fn explain(&self, found: &Classification, guesses: &[(&str, &str)], at_most: usize) -> Vec<Vec<Attribution>> {
        let model = &*self.model;
        let column = |(field, label): &(&str, &str)| {
            let known = model.fields.iter().find(|known| &*known.name == *field)?;
            let number = known.labels.iter().position(|name| &**name == *label)?;
            Some(known.first_column + number)
        };
        let columns: Vec<Option<usize>> = guesses.iter().map(column).collect();
        let known: Vec<usize> = columns.iter().flatten().copied().collect();
        let mut shares = model.heads.shares(&found.activation, &known, &model.vectors).into_iter();
        let explained = columns.iter().map(|column| match column.and_then(|_| shares.next()) {
            Some(shares) => found.strongest(shares, at_most),
            None => Vec::new(),
        });
        explained.collect()
    }
}

impl Classification {
    /// How many words the text has, and how many of these the model has never seen.
    pub fn words(&self) -> (usize, usize) {
        let (known, all) = self.activation.counted_words();
        (all, all - known)
    }

    fn strongest(&self, shares: Shares, at_most: usize) -> Vec<Attribution> {
        let words = self.activation.words.iter().zip(shares.words).filter(|(_, weight)| *weight > 0.0);
        let mut words: Vec<Attribution> =
            words.map(|(bytes, weight)| Attribution { bytes: bytes.clone(), weight }).collect();
        words.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        words.truncate(at_most);
        for word in &mut words {
            word.bytes = self.sources.original(word.bytes.clone());
        }
        words
    }
}

/// What can be done where a bundle's encoder is another one.
const RETRAIN: &str = "or train the bundle again with this one";

fn manifest_of(files: &Files) -> &[u8] {
    files.get(bundle::MANIFEST).map(AsRef::as_ref).unwrap_or_default()
}

impl Model {
    fn sentence(&self, text: &PlainText<'_>, stop: &dyn Fn() -> bool) -> Option<Arc<Sentence>> {
        features::sentence(self.encoder.as_ref()?, text, stop)
    }

    fn signals(&self, activation: &Activation, scores: &[f32]) -> Signals {
        Signals {
            best_score: scores[self.widest.clone()].iter().copied().fold(f32::NEG_INFINITY, f32::max),
            outside_score: scores.last().copied().unwrap_or_default(),
            known_share: activation.known_share(),
        }
    }

    /// By field, those of its labels.
    fn confidences(&self, scores: &[f32]) -> Vec<Vec<f32>> {
        let fields = self.fields.iter().zip(&self.manifest.fields);
        let alone: Vec<Vec<f32>> = fields
            .map(|(field, manifest)| {
                calibrate::confidences(&scores[field.columns()], manifest.sharpness, &manifest.curve).1
            })
            .collect();
        let Some(together) = &self.manifest.together else { return alone };
        let weigh = |(number, own): (usize, &Vec<f32>)| match together.other(number) {
            Some(other) => together.weigh(number, own, &alone[other]),
            None => own.clone(),
        };
        alone.iter().enumerate().map(weigh).collect()
    }

    fn abstention(&self, text: &str, activation: &Activation, out_of_scope: f32) -> Option<Abstention> {
        if scope::is_too_short(text) {
            return Some(Abstention::TooShort);
        }
        if scope::is_foreign(text, activation.known_words(), &self.manifest.languages) {
            return Some(Abstention::UnsupportedLanguage);
        }
        (out_of_scope > self.manifest.scope.threshold).then_some(Abstention::OutOfScope)
    }
}

impl Field {
    /// The threshold of the lowest certified precision that reaches this one.
    fn threshold(&self, precision: Precision) -> Option<&Threshold> {
        let certified = self.thresholds.iter().filter_map(|(name, threshold)| Some((name.parse().ok()?, threshold)));
        let enough = certified.filter(|(certified, _): &(f64, &Threshold)| *certified >= precision.share());
        enough.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, threshold)| threshold)
    }

    fn columns(&self) -> Range<usize> {
        self.first_column..self.first_column + self.labels.len()
    }

    fn rank(&self, manifest: &FieldManifest, confidences: Vec<f32>, of_text: Option<Abstention>) -> FieldScores {
        let best = calibrate::best_of(&confidences);
        let labels = self.labels.iter().zip(confidences);
        let mut ranked: Vec<Ranked> =
            labels.map(|(label, confidence)| Ranked { label: Arc::clone(label), confidence }).collect();
        ranked.swap(0, best);
        ranked[1..].sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let abstention = of_text.or_else(|| {
            let confidence = |place: usize| ranked.get(place).map(|ranked: &Ranked| ranked.confidence);
            doubt(manifest, confidence(0)?, confidence(1))
        });
        FieldScores { name: Arc::clone(&self.name), ranked, abstention }
    }
}

fn doubt(manifest: &FieldManifest, first: f32, second: Option<f32>) -> Option<Abstention> {
    if second.is_some_and(|second| first - second < manifest.min_gap) {
        return Some(Abstention::Ambiguous);
    }
    (first < manifest.min_confidence).then_some(Abstention::LowConfidence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        classify::{
            counts::{self, Counts, Reader},
            train::{TrainOptions, train},
            training_set::TrainingSet,
        },
        encode::tiny,
    };

    /// Two topics, with a tiny sentence encoder beside the words.
    fn with_sentences() -> Classifier {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path());
        let encoder = SentenceEncoder::load(folder.path()).unwrap();
        let mut set = TrainingSet::new(&["topic".to_owned()], 1, Redactor::default(), Some(encoder.clone())).unwrap();
        for text in ["printer has a paper jam", "vpn client fails at the hotel"].repeat(8) {
            set.add(text.to_owned(), vec![Some(text[..3].to_owned())], false);
        }
        Classifier::with_encoder(&train(set, &TrainOptions::quiet("test", 1)).unwrap().files, Some(encoder)).unwrap()
    }

    #[test]
    fn shares_add_up_to_the_score() {
        for classifier in [Classifier::embedded().unwrap(), with_sentences()] {
            let model = &*classifier.model;
            let check = |text: &str| {
                let text = features::readable(text, &Redactor::default());
                let activation =
                    model.heads.activate(&text, &model.pieces, &model.vectors, model.sentence(&text, &|| false));
                for (column, score) in model.heads.scores(&activation).into_iter().enumerate() {
                    let shares = &model.heads.shares(&activation, &[column], &model.vectors)[0];
                    let sum = shares.words.iter().sum::<f32>() + shares.rest;
                    assert!((sum - score).abs() < 1e-3, "{text:?}: column {column} is {score}, its shares {sum}");
                }
            };
            check("Printer of ann@x.example jams, call +49 30 1234567 or mail bob@x.example\npw: hunter2");
            check("Printer on floor 2 jams!\nIt has jammed since Monday, error 0x80070005. Please help?");
            check("");
            proptest!(ProptestConfig::with_cases(60), |(text in "(vpn|printer|down|\\PC|[a-z ?\\n]){0,60}")| {
                check(&text);
            });
        }
    }

    #[test]
    fn the_words_that_speak_for_a_label_are_found_in_the_text() {
        let classifier = Classifier::embedded().unwrap();
        let text = "Drucker: the printer by the lift has a paper jam";
        let found = classifier.classify(text);
        let category = found.fields.iter().find(|field| &*field.name == "category").unwrap();
        assert_eq!(&*category.ranked[0].label, "hardware/printer");
        let words = classifier.explain(&found, &[("category", "hardware/printer")], 2).remove(0);
        assert_eq!(words.len(), 2);
        assert!(words.iter().any(|word| &text[word.bytes.clone()] == "printer"));
        assert!(words[0].weight >= words[1].weight && words[1].weight > 0.0);
        let explained = classifier.explain(&found, &[("category", "no/such"), ("category", "hardware/printer")], 2);
        assert_eq!(explained, [Vec::new(), words]);
    }

    #[test]
    fn a_word_that_is_a_placeholder_is_shown_as_it_was_sent() {
        let texts = ["mail ann@x.example now", "mail bob@x.example now", "vpn 10.1.2.3 down", "vpn 10.9.8.7 down"];
        let mut set = TrainingSet::new(&["topic".to_owned()], 1, Redactor::default(), None).unwrap();
        for text in [texts; 4].concat() {
            set.add(text.to_owned(), vec![Some(text[..3].to_owned())], false);
        }
        let model =
            Classifier::with_encoder(&train(set, &TrainOptions::quiet("test", 1)).unwrap().files, None).unwrap();
        let text = "please write to cleo@x.example";
        let found = model.classify(text);
        assert_eq!(&*found.fields[0].ranked[0].label, "mai");
        let words = model.explain(&found, &[("topic", "mai")], 1).remove(0);
        assert_eq!(words.iter().map(|word| &text[word.bytes.clone()]).collect::<Vec<_>>(), ["cleo@x.example"]);
    }

    #[test]
    fn serving_knows_the_share_of_n_grams_that_training_knew() {
        let strange = "printer jam\nxylem quartz";
        let texts: Vec<&str> = [["printer jam", "vpn down"]; 4].concat().into_iter().chain([strange]).collect();
        let mut set = TrainingSet::new(&["topic".to_owned()], 1, Redactor::default(), None).unwrap();
        for text in &texts {
            set.add((*text).to_owned(), vec![Some(text[..3].to_owned())], false);
        }
        let trained = train(set, &TrainOptions::quiet("test", 1)).unwrap();
        let model = Classifier::with_encoder(&trained.files, None).unwrap();
        let (tokens, vectors) = (&model.model.pieces, &model.model.vectors);
        let plain = features::readable(strange, &Redactor::default());
        let served = model.model.heads.activate(&plain, tokens, vectors, None).known_share();

        let mut counts = Counts::new(None);
        let reader = Reader { tokens, vectors, redactor: &Redactor::default(), sentences: None };
        for text in counts::extract(&texts, reader, 1) {
            counts.push(&text);
        }
        let known = counts.known_shares(2)[texts.len() - 1];
        assert!(served > 0.4 && (served - known).abs() < 1e-6, "{served} {known}");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let classifier = Classifier::embedded().unwrap();
        for text in ["x".repeat(64 << 10), "vpn down ".repeat(8 << 10), "é".repeat(32 << 10)] {
            assert!(classifier.classify(&text).truncated);
        }
        assert!(!classifier.classify("vpn down since noon").truncated);
    }

    #[test]
    fn the_lowest_certified_precision_that_reaches_the_asked_one_counts() {
        let field = Field {
            name: "category".into(),
            labels: vec!["a".into()],
            thresholds: [("0.90", 0.6), ("0.95", 0.8), ("0.99", 0.7)]
                .map(|(name, from)| (name.to_owned(), Threshold::at(from)))
                .into(),
            first_column: 0,
        };
        for (precision, expected) in [
            (0.5, Some(0.6)),
            (0.9, Some(0.6)),
            (0.901, Some(0.8)),
            (0.95, Some(0.8)),
            (0.97, Some(0.7)),
            (0.99, Some(0.7)),
            (0.995, None),
        ] {
            let expected = expected.map(Threshold::at);
            assert_eq!(field.threshold(Precision::new(precision).unwrap()), expected.as_ref(), "{precision}");
        }
        let uncertified = Field { thresholds: BTreeMap::new(), ..field };
        assert_eq!(uncertified.threshold(Precision::default()), None);
    }

    #[test]
    fn nothing_is_certified_for_what_the_model_does_not_know() {
        let classifier = Classifier::embedded().unwrap();
        let half = Precision::new(0.5).unwrap();
        assert!(classifier.certifies("type", "incident", 1.0, half));
        assert!(!classifier.certifies("type", "incident", 0.0, half));
        assert!(!classifier.certifies("type", "complaint", 1.0, half));
        assert!(!classifier.certifies("colour", "incident", 1.0, half));
    }

    #[test]
    fn texts_that_are_no_tickets_are_told_apart() {
        let classifier = Classifier::embedded().unwrap();
        for (text, expected) in [
            ("", Some(Abstention::TooShort)),
            ("hi", Some(Abstention::TooShort)),
            (
                "La stampante dell'ufficio non funziona da ieri mattina e nessuno riesce a stampare i documenti, potete aiutarci?",
                Some(Abstention::UnsupportedLanguage),
            ),
            ("how long do I boil potatoes for a salad with mustard and herbs", Some(Abstention::OutOfScope)),
            ("Outlook does not start since the update this morning, the other programs work", None),
        ] {
            let found = classifier.classify(text);
            let category = found.fields.iter().find(|field| &*field.name == "category").unwrap();
            assert_eq!(category.abstention, expected, "{text}");
        }
    }
}
