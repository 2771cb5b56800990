use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair as Generated, PublicKeyData as _};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::json;

use super::*;
use crate::access::unix_time;

const RSA_KEY: &[u8] = include_bytes!("../../../tests/keys/only-for-tests.rsa.der");
const RSA_PUBLIC: &[u8] = include_bytes!("../../../tests/keys/only-for-tests.rsa.pub.pem");
const SECRET: &[u8] = b"a secret of more than thirty-two bytes";

fn settings(algorithm: JwtAlgorithm) -> JwtSettings {
    JwtSettings {
        key: PathBuf::from("key"),
        algorithm,
        issuer: "https://login.example".to_owned(),
        audience: "triage".to_owned(),
        role_claim: "role".to_owned(),
        leeway: Duration::from_secs(30),
    }
}

fn now() -> u64 {
    unix_time(SystemTime::now()).as_secs()
}

/// Claims that are good.
fn claims() -> Value {
    json!({"iss": "https://login.example", "aud": "triage", "sub": "desk", "exp": now() + 600, "role": "triage"})
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// The good claims with one other value, or without it.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}

fn with_secret(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

fn with_rsa(message: &[u8]) -> Vec<u8> {
    let key = RsaKeyPair::from_der(RSA_KEY).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

#[test]
fn each_algorithm_takes_its_own_signatures_and_no_others() {
    let ec = Generated::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let ec_key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.serialized_der(), &SystemRandom::new()).unwrap();
    let ed = Generated::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed_key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(ed.serialized_der()).unwrap();
    let pem = |key: &Generated| key.public_key_pem().into_bytes();
    assert!(!ec.subject_public_key_info().is_empty());

    let keys = [
        (JwtAlgorithm::RS256, "RS256", RSA_PUBLIC.to_vec()),
        (JwtAlgorithm::ES256, "ES256", pem(&ec)),
        (JwtAlgorithm::EdDSA, "EdDSA", pem(&ed)),
        (JwtAlgorithm::HS256, "HS256", SECRET.to_vec()),
    ];
    let sign_all: [Sign; 4] = [
        Box::new(with_rsa),
        Box::new(move |message| ec_key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()),
        Box::new(move |message| ed_key.sign(message).as_ref().to_vec()),
        Box::new(with_secret(SECRET)),
    ];
    for (index, (algorithm, _, key)) in keys.iter().enumerate() {
        let verifier = Verifier::new(&settings(*algorithm), key).unwrap();
        for (other, sign) in sign_all.iter().enumerate() {
            for (named, (_, name, _)) in keys.iter().enumerate() {
                let found = verifier.verify(token(&json!({"alg": name}), &claims(), sign).as_bytes());
                let is_good = index == other && index == named;
                assert_eq!(found.is_ok(), is_good, "{algorithm:?} signed as {other} called {name}");
            }
        }
    }
}

#[test]
fn a_public_key_is_no_secret_and_no_signature_is_none() {
    let verifier = Verifier::new(&settings(JwtAlgorithm::RS256), RSA_PUBLIC).unwrap();
    assert!(verifier.verify(token(&json!({"alg": "RS256"}), &claims(), with_rsa).as_bytes()).is_ok());
    for (header, sign) in [
        (json!({"alg": "HS256"}), with_secret(RSA_PUBLIC)),
        (json!({"alg": "none"}), with_secret(RSA_PUBLIC)),
        (json!({"alg": "None"}), with_secret(b"")),
        (json!({}), with_secret(b"")),
    ] {
        assert_eq!(verifier.verify(token(&header, &claims(), sign).as_bytes()), Err(Refusal::Unknown), "{header}");
    }
    let unsigned = token(&json!({"alg": "none"}), &claims(), |_| Vec::new());
    let stripped = token(&json!({"alg": "RS256"}), &claims(), |_| Vec::new());
    for token in
        ["", ".", "..", "a.b.c", "a.b", "a.b.c.d", "é.é.é", &unsigned, &stripped, stripped.trim_end_matches('.')]
    {
        assert_eq!(verifier.verify(token.as_bytes()), Err(Refusal::Unknown), "{token}");
    }
}

#[test]
fn every_claim_must_be_right() {
    let verifier = Verifier::new(&settings(JwtAlgorithm::HS256), SECRET).unwrap();
    let check = |claims: &Value| {
        let found = verifier.verify(token(&json!({"alg": "HS256"}), claims, with_secret(SECRET)).as_bytes());
        found.map(|caller| (caller.name.to_string(), caller.role))
    };
    let good = |role| Ok(("desk".to_owned(), role));
    for (name, value, expected) in [
        ("role", json!("admin"), good(Role::Admin)),
        ("role", json!(["offline_access", "chatbot"]), good(Role::Chatbot)),
        ("role", json!(["triage", "admin"]), Err(Refusal::Claims)),
        ("role", json!("Admin"), Err(Refusal::Claims)),
        ("role", json!("root"), Err(Refusal::Claims)),
        ("role", json!(7), Err(Refusal::Claims)),
        ("role", Value::Null, Err(Refusal::Claims)),
        ("iss", json!("https://login.example/"), Err(Refusal::Claims)),
        ("iss", json!(["https://evil.example"]), Err(Refusal::Claims)),
        ("iss", Value::Null, Err(Refusal::Claims)),
        ("aud", json!("billing"), Err(Refusal::Claims)),
        ("aud", json!(["billing", "triage"]), good(Role::Triage)),
        ("aud", json!([]), Err(Refusal::Claims)),
        ("aud", Value::Null, Err(Refusal::Claims)),
        ("exp", json!(now() - 20), good(Role::Triage)),
        ("exp", json!(now() - 40), Err(Refusal::Expired)),
        ("exp", json!(0), Err(Refusal::Expired)),
        ("exp", json!(-1), Err(Refusal::Claims)),
        ("exp", json!("9999999999"), Err(Refusal::Claims)),
        ("exp", Value::Null, Err(Refusal::Claims)),
        ("nbf", json!(now() + 20), good(Role::Triage)),
        ("nbf", json!(now() + 90), Err(Refusal::Expired)),
        ("nbf", json!("soon"), Err(Refusal::Claims)),
        ("sub", json!(""), Err(Refusal::Claims)),
        ("sub", json!("a\nb"), Err(Refusal::Claims)),
        ("sub", json!("\u{202e}a"), Err(Refusal::Claims)),
        ("sub", json!("x".repeat(257)), Err(Refusal::Claims)),
        ("sub", json!(7), Err(Refusal::Claims)),
        ("sub", Value::Null, Err(Refusal::Claims)),
    ] {
        assert_eq!(check(&with(name, value.clone())), expected, "{name} {value}");
    }
    let critical = token(&json!({"alg": "HS256", "crit": ["b64"]}), &claims(), with_secret(SECRET));
    assert_eq!(verifier.verify(critical.as_bytes()), Err(Refusal::Claims));
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let ec = Generated::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    for (algorithm, key, expected) in [
        (JwtAlgorithm::HS256, RSA_PUBLIC, "PEM"),
        (
            JwtAlgorithm::HS256,
            b"short\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
            "32 bytes",
        ),
        (JwtAlgorithm::RS256, SECRET, "no public key"),
        (JwtAlgorithm::RS256, ec.public_key_pem().as_bytes(), "no public key"),
        (JwtAlgorithm::ES256, ec.public_key_pem().as_bytes(), "no public key"),
        (JwtAlgorithm::ES256, RSA_PUBLIC, "no public key"),
        (JwtAlgorithm::EdDSA, RSA_PUBLIC, "no public key"),
        (JwtAlgorithm::ES256, ec.serialize_pem().as_bytes(), "private key"),
        (JwtAlgorithm::RS256, b"", "no public key"),
    ] {
        let problem = Verifier::new(&settings(algorithm), key).unwrap_err();
        assert!(problem.contains(expected), "{algorithm:?}: {problem}");
    }
}
