//! A tiny sentence encoder for tests, the same at every call: two layers of 32 values with two heads, over some words,
//! letters and digits. Its weights are small random numbers, so that texts with the same words are alike.

use std::{fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

pub(crate) const HIDDEN: usize = 32;
const INTERMEDIATE: usize = 64;
const LAYERS: usize = 2;
const POSITIONS: usize = 64;

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const WORDS: &str = "the a an i my you it is are be to of in on for from with and or not no cannot can after before \
    when since this that help please error fails failed open opens close closes start starts stop slow broken new \
    old password account user login access request install update laptop computer screen monitor mouse keyboard \
    printer paper toner scanner phone mail mailbox outlook teams excel word office sap report invoice order server \
    database backup disk network cable wifi vpn client hotel home internet browser page certificate ##s ##ed ##ing ##er";

/// Writes `config.json`, `tokenizer.json` and `model.safetensors` into the folder.
pub(crate) fn write(folder: &Path) {
    let pieces: Vec<String> = SPECIAL
        .iter()
        .map(|piece| (*piece).to_owned())
        .chain(CHARACTERS.chars().flat_map(|character| [format!("{character}"), format!("##{character}")]))
        .chain(PUNCTUATION.chars().map(String::from))
        .chain(WORDS.split_whitespace().filter(|word| word.len() > 1).map(str::to_owned))
        .collect();
    let config = json!({
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
        "num_attention_heads": 2,
        "num_hidden_layers": LAYERS,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "vocab_size": pieces.len(),
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer(&pieces).to_string()).unwrap();
    fs::write(folder.join("model.safetensors"), weights(pieces.len())).unwrap();
}

fn tokenizer(pieces: &[String]) -> serde_json::Value {
    let vocabulary: serde_json::Map<_, _> =
        pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), json!(id))).collect();
    let added: Vec<_> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, piece)| {
            json!({
                "id": id, "content": piece, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let special = |piece: &str, id: u32| json!({ "id": piece, "ids": [id], "tokens": [piece] });
    json!({
        "version": "1.0",
        // Published tokenizers have such settings from training, which are not to be followed.
        "truncation": { "max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right" },
        "padding": {
            "strategy": { "Fixed": 8 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                { "SpecialToken": { "id": "[CLS]", "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "SpecialToken": { "id": "[SEP]", "type_id": 0 } },
            ],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "[CLS]": special("[CLS]", 2), "[SEP]": special("[SEP]", 3) },
        },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

fn weights(vocabulary: usize) -> Vec<u8> {
    let mut tensors = Vec::new();
    let mut state = 1_u64;
    let mut add = |name: String, shape: &[usize], scale: f32, centre: f32| {
        let bytes: Vec<u8> =
            (0..shape.iter().product()).flat_map(|_| (centre + scale * random(&mut state)).to_le_bytes()).collect();
        tensors.push((name, shape.to_vec(), bytes));
    };
    add("embeddings.word_embeddings.weight".to_owned(), &[vocabulary, HIDDEN], 1.0, 0.0);
    add("embeddings.position_embeddings.weight".to_owned(), &[POSITIONS, HIDDEN], 0.1, 0.0);
    add("embeddings.token_type_embeddings.weight".to_owned(), &[2, HIDDEN], 0.1, 0.0);
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..LAYERS {
        for (part, outputs, inputs) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INTERMEDIATE, HIDDEN),
            ("output.dense", HIDDEN, INTERMEDIATE),
        ] {
            add(format!("encoder.layer.{layer}.{part}.weight"), &[outputs, inputs], 0.25, 0.0);
            add(format!("encoder.layer.{layer}.{part}.bias"), &[outputs], 0.1, 0.0);
        }
        norms.extend(["attention.output", "output"].map(|part| format!("encoder.layer.{layer}.{part}.LayerNorm")));
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[HIDDEN], 0.2, 1.0);
        add(format!("{norm}.bias"), &[HIDDEN], 0.1, 0.0);
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// From -1 to 1 (Knuth's multiplier, upper bits).
fn random(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    f32::from(u16::try_from(*state >> 48).unwrap()) / 32_767.5 - 1.0
}
