//! The whole encoder, over a tiny model and, where it is at hand, all-MiniLM-L6-v2.

use std::{cell::Cell, collections::BTreeMap, thread};

use super::*;

struct Tiny(tempfile::TempDir);

impl Tiny {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path());
        Self(folder)
    }

    fn load(&self) -> SentenceEncoder {
        SentenceEncoder::load(self.0.path()).unwrap()
    }

    /// The message of an encoder of which one file was changed.
    fn refused(&self, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
        let path = self.0.path().join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, change(before.clone())).unwrap();
        let error = SentenceEncoder::load(self.0.path()).unwrap_err();
        fs::write(path, before).unwrap();
        error.to_string()
    }

    fn refused_text(&self, name: &str, from: &str, to: &str) -> String {
        self.refused(name, |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{from}");
            text.replace(from, to).into_bytes()
        })
    }

    fn refused_json(&self, name: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
        self.refused(name, |bytes| {
            let mut value = serde_json::from_slice(&bytes).unwrap();
            change(&mut value);
            value.to_string().into_bytes()
        })
    }

    fn refused_tensors(&self, change: impl FnOnce(&mut BTreeMap<String, (Vec<usize>, Vec<u8>)>)) -> String {
        self.refused(WEIGHTS, |bytes| {
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let owned = |view: safetensors::tensor::TensorView| (view.shape().to_vec(), view.data().to_vec());
            let mut tensors = tensors.iter().map(|(name, view)| (name.to_owned(), owned(view))).collect();
            change(&mut tensors);
            let views = tensors.iter().map(|(name, (shape, bytes))| {
                let dtype = if bytes.len() == 4 * shape.iter().product::<usize>() {
                    safetensors::Dtype::F32
                } else {
                    safetensors::Dtype::F16
                };
                (name, safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap())
            });
            safetensors::serialize(views, None).unwrap()
        })
    }
}

fn encode(encoder: &SentenceEncoder, text: &str) -> Sentence {
    encoder.encode(text, &|| false).unwrap()
}

fn check_close(values: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(values.len(), expected.len());
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() <= tolerance, "{value} for {expected}");
    }
}

#[test]
fn vectors_are_those_of_the_formulas_for_every_length_and_processor() {
    let tiny = Tiny::new();
    let naive = naive::Naive::load(tiny.0.path(), tiny::HIDDEN, 2, 2);
    for cpu in Cpu::available() {
        let load = |precision| SentenceEncoder::load_for(cpu, tiny.0.path(), precision).unwrap();
        let (float32, int8) = (load(Precision::Float32), load(Precision::Int8));
        for words in (1..62).chain([3]) {
            let text = "vpn fails from the hotel 8 0 9 ".repeat(9);
            let text = text.split_whitespace().take(words).collect::<Vec<_>>().join(" ");
            let rows = naive.rows(&float32.0.tokens.tokenize(&text).ids);
            assert_eq!(rows.len(), words + 2);
            let sums: Vec<f64> = (0..tiny::HIDDEN).map(|at| rows.iter().map(|row| row[at]).sum()).collect();
            let norm = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
            #[expect(clippy::cast_possible_truncation, reason = "compared with 32-bit floats")]
            let expected: Vec<f32> = sums.iter().map(|sum| (sum / norm) as f32).collect();
            check_close(&encode(&float32, &text).vector, &expected, 2e-6);
            check_close(&encode(&int8, &text).vector, &expected, 2e-2);
        }
    }
}

#[test]
fn parts_add_up_to_the_vector_and_stand_where_their_tokens_are() {
    let encoder = Tiny::new().load();
    let text = "My Drucker für VPN\u{301} isn't 打 ok 😞";
    let sentence = encode(&encoder, text);
    assert_eq!(sentence.parts.len(), sentence.tokens.len() * encoder.dimensions());
    let mut sum = sentence.special.clone();
    for part in sentence.parts.chunks_exact(encoder.dimensions()) {
        for (sum, value) in sum.iter_mut().zip(part) {
            *sum += value;
        }
    }
    check_close(&sum, &sentence.vector, 1e-6);
    let norm = sentence.vector.iter().map(|value| value * value).sum::<f32>();
    assert!((norm - 1.0).abs() < 1e-5);
    let words: Vec<&str> = sentence.tokens.iter().map(|range| &text[range.clone()]).collect();
    assert_eq!(words.first(), Some(&"My"));
    assert!(words.contains(&"打") && words.contains(&"'") && words.contains(&"😞"), "{words:?}");
}

#[test]
fn a_text_without_tokens_is_all_zero() {
    let encoder = Tiny::new().load();
    for text in ["", " \n\t", "\u{200b}\u{1}"] {
        let sentence = encode(&encoder, text);
        assert!(sentence.tokens.is_empty() && sentence.parts.is_empty() && !sentence.truncated);
        assert_eq!(sentence.vector, [0.0; tiny::HIDDEN]);
        assert_eq!(sentence.special, [0.0; tiny::HIDDEN]);
    }
}

#[test]
fn rows_that_are_no_numbers_make_no_vector() {
    for value in [f32::NAN, f32::INFINITY, 1e30] {
        let text =
            TokenizedText { ids: vec![2, 9, 3], first: 1, ranges: std::iter::once(0..1).collect(), truncated: false };
        let sentence = pool(text, &[1.0, 1.0, value, -1.0, 1.0, 1.0], 2);
        assert_eq!((sentence.vector, sentence.parts, sentence.special), (vec![0.0; 2], vec![0.0; 2], vec![0.0; 2]));
    }
}

#[test]
fn what_is_beyond_the_bound_is_cut_off_and_said() {
    let encoder = Tiny::new().load();
    let most = "vpn ".repeat(62);
    assert!(!encode(&encoder, &most).truncated);
    let more = encode(&encoder, &format!("{most}printer"));
    assert!(more.truncated);
    assert_eq!(more.tokens.len(), 62);
    assert_eq!(more.vector, encode(&encoder, &most).vector);
    // Longer than what is looked at first.
    for long in ["vpn ".repeat(100_000), " ".repeat(100_000) + &most + "x", "x".repeat(100_000) + " " + &most] {
        let sentence = encode(&encoder, &long);
        assert!(sentence.truncated);
        assert_eq!(sentence.tokens.len(), 62);
    }
}

#[test]
fn the_same_text_gives_the_same_bits_whatever_else_is_computed() {
    let encoder = Tiny::new().load();
    let texts = ["vpn", "the printer is broken since the update", &"sap report fails ".repeat(20)];
    let expected = texts.map(|text| encode(&encoder, text));
    thread::scope(|scope| {
        for first in 0..4 {
            let (encoder, expected) = (encoder.clone(), &expected);
            scope.spawn(move || {
                for turn in first..first + 200 {
                    assert_eq!(encode(&encoder, texts[turn % 3]), expected[turn % 3]);
                }
            });
        }
    });
    assert!(encoder.scratch().len() <= 4);
}

#[test]
fn stopping_ends_between_two_layers() {
    let encoder = Tiny::new().load();
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() == 2
    };
    assert_eq!(encoder.encode("vpn", &stop), None);
    assert_eq!(asked.get(), 2);
    assert!(encoder.encode("vpn", &|| false).is_some());
}

#[test]
fn the_hash_is_that_of_all_three_files() {
    let tiny = Tiny::new();
    let first = tiny.load();
    assert_eq!(first.sha256(), Tiny::new().load().sha256());
    assert_eq!(first.sha256().len(), 64);
    assert!(first.folder().is_absolute());
    let config = tiny.0.path().join(CONFIG);
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n").unwrap();
    assert_ne!(first.sha256(), tiny.load().sha256());
}

#[test]
fn a_folder_that_lacks_a_file_is_refused_by_its_name() {
    for name in [CONFIG, TOKENIZER, WEIGHTS] {
        let tiny = Tiny::new();
        fs::remove_file(tiny.0.path().join(name)).unwrap();
        let message = SentenceEncoder::load(tiny.0.path()).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("cannot be read"), "{message}");
    }
}

#[test]
fn other_architectures_are_refused_with_what_is_supported() {
    let tiny = Tiny::new();
    for (from, to, expected) in [
        ("\"bert\"", "\"roberta\"", "model_type is roberta, but bert is supported"),
        ("\"gelu\"", "\"relu\"", "hidden_act is relu, but gelu"),
        ("\"absolute\"", "\"relative_key\"", "position_embedding_type is relative_key, but absolute"),
        ("\"num_attention_heads\":2", "\"num_attention_heads\":4", "a multiple of 16 for each head"),
        ("\"num_attention_heads\":2", "\"num_attention_heads\":0", "a multiple of 16 for each head"),
        ("\"num_hidden_layers\":2", "\"num_hidden_layers\":0", "num_hidden_layers is 0"),
        ("\"hidden_size\":32", "\"hidden_size\":99999999999", "hidden_size is 99999999999"),
        ("\"hidden_size\":32", "\"hidden\":32", "is not the configuration of a BERT model"),
        ("{", "[", "is not the configuration of a BERT model"),
    ] {
        let message = tiny.refused_text(CONFIG, from, to);
        assert!(message.contains(CONFIG) && message.contains(expected), "{message}");
    }
    fs::create_dir(tiny.0.path().join("1_Pooling")).unwrap();
    fs::write(tiny.0.path().join(POOLING), "{\"pooling_mode_mean_tokens\": false}").unwrap();
    let message = SentenceEncoder::load(tiny.0.path()).unwrap_err().to_string();
    assert!(message.contains("pooling_mode_mean_tokens is false, but true"), "{message}");
}

#[test]
fn weights_that_do_not_fit_are_refused_by_their_name() {
    const NAME: &str = "encoder.layer.1.intermediate.dense.weight";
    let tiny = Tiny::new();
    let message = tiny.refused_tensors(|tensors| assert!(tensors.remove(NAME).is_some()));
    assert!(message.contains(WEIGHTS) && message.contains(&format!("has no tensor {NAME}")), "{message}");
    let message = tiny.refused_tensors(|tensors| tensors.get_mut(NAME).unwrap().0 = vec![32, 64]);
    assert!(message.contains(&format!("{NAME} is F32 [32, 64], but config.json makes it F32 [64, 32]")), "{message}");
    let message = tiny.refused_tensors(|tensors| tensors.get_mut(NAME).unwrap().1.truncate(2 * 32 * 64));
    assert!(message.contains("is F16 [64, 32]"), "{message}");
    for value in [f32::NAN, f32::INFINITY] {
        let message = tiny.refused_tensors(|tensors| {
            tensors.get_mut(NAME).unwrap().1[400..404].copy_from_slice(&value.to_le_bytes());
        });
        assert!(message.contains(&format!("{NAME} holds a value that is not a number")), "{message}");
    }
    let message = tiny.refused_tensors(|tensors| {
        for value in tensors.get_mut("encoder.layer.1.output.LayerNorm.weight").unwrap().1.as_chunks_mut().0 {
            *value = 1e30_f32.to_le_bytes();
        }
    });
    assert!(message.contains("has no length or no end"), "{message}");
    for length in [0, 7, 100, 5_000] {
        let message = tiny.refused(WEIGHTS, |bytes| bytes[..length].to_vec());
        assert!(message.contains("is not a safetensors file, or not all of one"), "{message}");
    }
}

#[test]
fn tokenizers_that_do_not_fit_are_refused() {
    let tiny = Tiny::new();
    for (from, to, expected) in [
        ("\"vpn\":", "\"vpn\":99", "tokens, but config.json says vocab_size is"),
        ("\"[UNK]\",\"continuing", "\"[NONE]\",\"continuing", "lacks the token [NONE]"),
        ("\"ids\":[2]", "\"ids\":[9999]", "puts the id 9999 around a text"),
        ("\"WordPiece\"", "\"WordLevel\"", "holds another kind of tokenizer than WordPiece"),
        ("{", "[", "is not a tokenizer that can be read"),
        ("\"decoder\":", "\"decoder\":.", "is not a tokenizer that can be read"),
    ] {
        let message = tiny.refused_text(TOKENIZER, from, to);
        assert!(message.contains(TOKENIZER) && message.contains(expected), "{message}");
    }
    let message = tiny.refused_json(TOKENIZER, |tokenizer| tokenizer["post_processor"] = serde_json::Value::Null);
    assert!(message.contains("puts no special tokens around a text"), "{message}");
    let map = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "none"});
    for normalizer in [map.clone(), serde_json::json!({"type": "Sequence", "normalizers": [map]})] {
        let message = tiny.refused_json(TOKENIZER, |tokenizer| tokenizer["normalizer"] = normalizer);
        assert!(message.contains("a map of SentencePiece"), "{message}");
    }
    let message = tiny.refused_json(CONFIG, |config| config["vocab_size"] = 30_522.into());
    assert!(message.contains("config.json says vocab_size is 30522"), "{message}");
    let message = tiny.refused_text(CONFIG, "\"max_position_embeddings\":64", "\"max_position_embeddings\":2");
    assert!(message.contains("leaves no room for a text in the 2 tokens"), "{message}");
}

/// `models/minilm/reference.py` made the vectors.
#[test]
#[expect(clippy::print_stderr, reason = "a test that did not look says so")]
fn all_minilm_l6_v2_gives_the_vectors_of_pytorch() {
    #[derive(Deserialize)]
    struct Reference {
        text: String,
        tokens: usize,
        vector: Vec<f32>,
    }
    let Some(folder) = std::env::var_os("TRIAGE_MINILM") else {
        eprintln!("TRIAGE_MINILM is not set: it names the folder of all-MiniLM-L6-v2 to compare with");
        return;
    };
    let references = include_str!("../../../models/minilm/reference.jsonl");
    for cpu in Cpu::available() {
        let load = |precision| SentenceEncoder::load_for(cpu, Path::new(&folder), precision).unwrap();
        let (float32, int8) = (load(Precision::Float32), load(Precision::Int8));
        for line in references.lines() {
            let reference: Reference = serde_json::from_str(line).unwrap();
            let sentence = encode(&float32, &reference.text);
            assert_eq!(sentence.tokens.len() + 2, reference.tokens, "{}", reference.text);
            check_close(&sentence.vector, &reference.vector, 1e-4);
            let vector = encode(&int8, &reference.text).vector;
            let cosine: f32 = vector.iter().zip(&reference.vector).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.996, "{cosine}: {}", reference.text);
        }
    }
}
