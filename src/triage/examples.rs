//! What the taxonomy says of labels that the model does not know, as vectors: a label that was added is proposed from
//! its description and examples until a model has learnt it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    classify::Classifier,
    domain::taxonomy::Taxonomy,
    encode::{TextVector, VectorSum},
};

/// By field, the labels that are new to a model.
#[derive(Default)]
pub(super) struct Examples(BTreeMap<String, Vec<Example>>);

/// A label with the sum of its texts' vectors.
struct Example {
    label: String,
    sum: VectorSum,
    /// Of the sum's length.
    square: i64,
    texts: u32,
}

impl fmt::Debug for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Examples").finish_non_exhaustive()
    }
}

impl Examples {
    pub(super) fn new(taxonomy: &Taxonomy, classifier: &Classifier) -> Self {
        let learnt: BTreeSet<(&str, &str)> = classifier
            .fields()
            .iter()
            .flat_map(|field| {
                let names = taxonomy.names(&field.name);
                field.labels.iter().map(move |label| (&*field.name, names.renamed(label)))
            })
            .collect();
        let mut by_field: BTreeMap<String, Vec<Example>> = BTreeMap::new();
        for (field, label, text) in taxonomy.examples().filter(|(field, label, _)| !learnt.contains(&(*field, *label)))
        {
            let labels = by_field.entry(field.to_owned()).or_default();
            // The texts of a label follow each other.
            if labels.last().is_none_or(|last| last.label != label) {
                labels.push(Example { label: label.to_owned(), sum: VectorSum::default(), square: 0, texts: 0 });
            }
            if let Some(example) = labels.last_mut() {
                example.sum.add(&TextVector::of(text));
                example.square = example.sum.square();
                example.texts += 1;
            }
        }
        Self(by_field)
    }

    /// Whether there is nothing to compare a text with.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a field has new labels with examples.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// The new labels of a field, each with how like its texts are and how many there are.
    pub(super) fn likenesses<'a>(
        &'a self,
        field: &str,
        vector: &'a TextVector,
    ) -> impl Iterator<Item = (&'a str, f32, u32)> {
        let labels = self.0.get(field).into_iter().flatten();
        labels.map(|example| (&*example.label, example.sum.cosine(example.square, vector), example.texts))
    }
}
