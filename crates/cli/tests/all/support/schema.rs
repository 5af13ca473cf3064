//! Checks what the program prints as JSON against docs/output.schema.json, by as much of JSON Schema as that uses.

use std::sync::OnceLock;

use serde_json::{Map, Value};

const SCHEMA: &str = include_str!("../../../../../docs/output.schema.json");

fn definitions() -> &'static Map<String, Value> {
    static DEFINITIONS: OnceLock<Map<String, Value>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        schema["$defs"].as_object().unwrap().clone()
    })
}

/// Asserts that the command may print this.
#[track_caller]
pub(crate) fn check(command: &str, json: &Value) {
    let schema = definitions().get(command).unwrap_or_else(|| panic!("no schema of {command}"));
    if let Err(problem) = conforms(schema, json, command) {
        panic!("{problem}\n{json:#}");
    }
}

fn conforms(schema: &Value, json: &Value, at: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{at}: {what}: {json}"));
    for (keyword, value) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "description" | "required" | "additionalProperties" => {}
            "$ref" => {
                let name = value.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                conforms(definitions().get(name).unwrap_or_else(|| panic!("{name}")), json, at)?;
            }
            "const" if json == value => {}
            "const" => return wrong(&format!("isn't {value}")),
            "enum" if value.as_array().unwrap().contains(json) => {}
            "enum" => return wrong(&format!("isn't one of {value}")),
            "type" => {
                let types = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                if !types.iter().any(|name| is(json, name.as_str().unwrap())) {
                    return wrong(&format!("is of another type than {value}"));
                }
            }
            "anyOf" => {
                let problems: Result<Vec<String>, ()> = value
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|schema| conforms(schema, json, at).err().ok_or(()))
                    .collect();
                if let Ok(problems) = problems {
                    return Err(problems.join("\n"));
                }
            }
            "items" => {
                for (index, item) in json.as_array().into_iter().flatten().enumerate() {
                    conforms(value, item, &format!("{at}[{index}]"))?;
                }
            }
            "properties" => {}
            other => panic!("{at}: {other} is not understood here"),
        }
    }
    let Some(fields) = json.as_object() else { return Ok(()) };
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !fields.contains_key(required.as_str().unwrap()) {
            return wrong(&format!("has no {required}"));
        }
    }
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (name, value) in fields {
        match (properties.get(name), schema.get("additionalProperties")) {
            (Some(schema), _) => conforms(schema, value, &format!("{at}.{name}"))?,
            (None, Some(Value::Bool(false))) => {
                return wrong(&format!("has {name}, which is not documented"));
            }
            (None, Some(schema)) => conforms(schema, value, &format!("{at}.{name}"))?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn is(json: &Value, name: &str) -> bool {
    match name {
        "null" => json.is_null(),
        "boolean" => json.is_boolean(),
        "integer" => json.is_u64() || json.is_i64(),
        "number" => json.is_number(),
        "string" => json.is_string(),
        "array" => json.is_array(),
        "object" => json.is_object(),
        other => panic!("{other}"),
    }
}
