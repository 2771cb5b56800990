//! Which settings are not the defaults, and where each comes from, for people who wonder why it does what it does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{DEFAULTS, environment_layer};

/// A setting that is not the default.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Section and name, as `limits.calls`.
    pub key: String,
    /// As a configuration file writes it; `***` for what nobody else is to read.
    pub value: String,
    /// The same of the default; `None` where there is none.
    pub default: Option<String>,
    pub source: SettingSource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    File(PathBuf),
    Environment,
}

/// Words in the names of settings that are not shown; a file's path is.
const SECRET: [&str; 4] = ["secret", "password", "token", "key"];

/// The settings of these layers that are not the defaults, by key. A layer that cannot be read has none: loading says so.
pub fn differing(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Vec<Setting> {
    let defaults = flattened(&DEFAULTS.parse().unwrap_or_default());
    let mut found = BTreeMap::new();
    if let Some(path) = file
        && let Some(table) = fs::read_to_string(path).ok().and_then(|text| text.parse().ok())
    {
        let of_file = flattened(&table).into_iter();
        found.extend(of_file.map(|(key, value)| (key, (value, SettingSource::File(path.to_owned())))));
    }
    if let Ok(Value::Table(table)) = Value::try_from(environment_layer(environment)) {
        let of_environment = flattened(&table).into_iter();
        found.extend(of_environment.map(|(key, value)| (key, (value, SettingSource::Environment))));
    }
    let differs = found.into_iter().filter(|(key, (value, _))| defaults.get(key) != Some(value));
    let setting = |(key, (value, source)): (String, (Value, SettingSource))| {
        let value = if is_secret(&key) { "***".to_owned() } else { value.to_string() };
        Setting { default: defaults.get(&key).map(ToString::to_string), value, source, key }
    };
    differs.map(setting).collect()
}

fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    SECRET.iter().any(|word| name.contains(word)) && !name.ends_with("file") && !name.ends_with("path")
}

/// Every value by the path to it.
fn flattened(table: &Table) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for (name, value) in table {
        match value {
            Value::Table(below) => {
                let below = flattened(below).into_iter();
                values.extend(below.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => drop(values.insert(name.clone(), value.clone())),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_with_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("triage.toml");
        fs::write(&path, "[limits]\ncalls = 7\nconnections = 1_024\n[server]\ndrain_seconds = 20\n").unwrap();
        let environment = [("TRIAGE__SERVER__DRAIN_SECONDS", "30"), ("HOME", "/"), ("TRIAGE__DOOR__TOKEN", "hidden")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found: Vec<_> = differing(Some(&path), environment)
            .into_iter()
            .map(|Setting { key, value, default, source }| (key, value, default, source == SettingSource::Environment))
            .collect();
        let setting = |key: &str, value: &str, default: Option<&str>, environment| {
            (key.to_owned(), value.to_owned(), default.map(str::to_owned), environment)
        };
        assert_eq!(
            found,
            [
                setting("door.token", "***", None, true),
                setting("limits.calls", "7", Some("512"), false),
                setting("server.drain_seconds", "30", Some("10"), true),
            ]
        );
        assert_eq!(differing(None, []), []);
    }
}
