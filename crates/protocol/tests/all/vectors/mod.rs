//! The committed vectors, all of them, to the last field.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod go_client;

const COORDINATION: &str = include_str!("../../../vectors/coordination.json");

#[test]
fn go_draws_and_whole_coordination_cases() {
    assert_eq!(crate::check::check(COORDINATION), 80);
}

#[test]
fn go_draws_at_the_seeds_where_the_algorithm_takes_its_rare_turns() {
    assert_eq!(crate::check::check(include_str!("../../../vectors/draws.json")), 9);
}

#[test]
fn header_hashes_by_both_rules_before_and_after_prague() {
    assert_eq!(crate::check::check(include_str!("../../../vectors/headers.json")), 12);
}

#[test]
fn messages_encoded_by_another_protobuf_implementation() {
    assert_eq!(crate::check::check(include_str!("../../../vectors/wire.json")), 72);
}

#[test]
#[should_panic(expected = "1 places went unread, the first is Some(\"/coordination/0/unheard_of\")")]
fn a_vector_field_that_goes_unread_fails() {
    let mut vectors: serde_json::Value = serde_json::from_str(COORDINATION).unwrap();
    vectors["coordination"][0]["unheard_of"] = 1.into();
    crate::check::check(&vectors.to_string());
}

#[test]
#[should_panic(expected = "2 places went unread, the first is Some(\"/another/0\")")]
fn a_vector_section_that_goes_unread_fails() {
    let mut vectors: serde_json::Value = serde_json::from_str(COORDINATION).unwrap();
    vectors["another"] = serde_json::json!([1, 2]);
    crate::check::check(&vectors.to_string());
}
