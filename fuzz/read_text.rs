//! What must hold of any bytes that arrive as a ticket's text: shared by the fuzz target and the replay of its corpus.

use ticket_triage::classify::Classifier;

/// Reads the bytes as the server would read a ticket, and checks everything that callers rely on.
pub(crate) fn read_text(classifier: &Classifier, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let found = classifier.classify(&text);
    assert!((0.0..=1.0).contains(&found.out_of_scope), "out of scope by {}", found.out_of_scope);
    for field in &found.fields {
        assert!(field.ranked.iter().all(|ranked| (0.0..=1.0).contains(&ranked.confidence)), "{field:?}");
        let best = &field.ranked[0];
        assert!(field.ranked.iter().all(|ranked| ranked.confidence <= best.confidence), "{field:?}");
        for word in classifier.explain(&found, &[(&*field.name, &*best.label)], 5).remove(0) {
            assert!(word.weight > 0.0, "{word:?}");
            assert!(text.get(word.bytes.clone()).is_some_and(|word| !word.is_empty()), "{word:?}");
        }
    }
}
