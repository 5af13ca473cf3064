//! The configuration that `coxswain init` writes: each key with what it is for. It is also where defaults are read from, so that
//! they stand in one place.

use serde_json::Value;

/// The template.
pub const TEMPLATE: &str = include_str!("template.toml");

/// A key that the template has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// Its section.
    pub section: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its value, as it is written.
    pub value: &'a str,
    /// Whether that is only what holds if it is left out.
    pub is_default: bool,
}

/// All keys of a text like the template, in its order. What comes after the sections, as lists of tables, is left out.
pub fn keys(text: &str) -> impl Iterator<Item = Key<'_>> {
    let mut section = "";
    text.lines().filter_map(move |line| {
        let (line, is_default) = match line.strip_prefix("# ") {
            Some(line) => (line, true),
            None => (line, false),
        };
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            return None;
        }
        let (name, value) = line.split_once(" = ")?;
        let is_key = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (is_key && !section.starts_with('[')).then_some(Key { section, name, value, is_default })
    })
}

/// The template with these values in place of its own: section, key, value. A value that is no text, number, truth value or list of
/// them isn't written.
pub fn filled(values: &[(&str, &str, Value)]) -> String {
    let mut section = "";
    let mut text = String::with_capacity(TEMPLATE.len());
    for line in TEMPLATE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        }
        let name = bare.split_once(" = ").map(|(name, _)| name);
        let value = values.iter().rev().find(|(of, key, _)| *of == section && Some(*key) == name);
        match value {
            // JSON's texts, numbers and lists of them are TOML's.
            Some((_, key, value)) if !value.is_null() && !value.is_object() => {
                text.push_str(&format!("{key} = {value}\n"));
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use coxswain_service::configuration::Layers;
    use serde_json::json;

    use super::*;
    use crate::Configuration;

    fn read(text: &str) -> Result<Configuration, String> {
        let folder = std::env::temp_dir().join(format!("coxswain-template-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{:x}.toml", text.len()));
        std::fs::write(&path, text).unwrap();
        let mut layers = Layers::default();
        layers.file(&path).unwrap();
        let read = layers.read();
        std::fs::remove_file(&path).unwrap();
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn the_template_is_a_configuration_and_so_is_each_default_in_it() {
        read(TEMPLATE).unwrap();
        let all: String = TEMPLATE
            .lines()
            .take_while(|line| !line.starts_with("# The wallets."))
            .map(|line| match line.strip_prefix("# ") {
                Some(bare) if keys(TEMPLATE).any(|key| bare == format!("{} = {}", key.name, key.value)) => {
                    bare
                }
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let configuration = read(&all).unwrap();
        assert_eq!(configuration.journal.keep_windows, Some(3000));
        assert!(keys(TEMPLATE).count() > 25);
        assert!(keys(TEMPLATE).any(|key| (key.section, key.name, key.is_default) == ("status", "off", true)));
    }

    #[test]
    fn values_take_the_place_of_the_templates() {
        let values = [
            ("ethereum", "urls", json!(["http://a\"b"])),
            ("ethereum", "network", json!("mainnet")),
            ("status", "off", json!(true)),
            ("journal", "urls", json!("no such key")),
        ];
        let text = filled(&values);
        let keys: Vec<_> =
            keys(&text).filter(|key| !key.is_default).map(|key| (key.name, key.value)).collect();
        assert!(keys.contains(&("urls", "[\"http://a\\\"b\"]")), "{keys:?}");
        assert!(keys.contains(&("network", "\"mainnet\"")) && keys.contains(&("off", "true")), "{keys:?}");
        assert_eq!(text.lines().count(), TEMPLATE.lines().count());
    }

    #[test]
    fn the_docs_show_the_template() {
        let docs = include_str!("../../../docs/node.md");
        assert!(
            docs.contains(&format!("```toml\n{TEMPLATE}```")),
            "docs/node.md shows another configuration"
        );
    }
}
