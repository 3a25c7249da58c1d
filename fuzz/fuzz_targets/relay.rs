//! What must hold of it is said beside the parser, in `llm_proxy::host::relay::fuzzing`.
//! `scripts/fuzz 60 relay` runs it for a minute.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| llm_proxy::host::relay::fuzzing::relay(input));
