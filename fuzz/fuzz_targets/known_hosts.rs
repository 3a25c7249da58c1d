//! What must hold of it is said beside the parser, in `llm_proxy::ssh::fuzzing`.
//! `scripts/fuzz 60 known_hosts` runs it for a minute.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| llm_proxy::ssh::fuzzing::known_hosts(input));
