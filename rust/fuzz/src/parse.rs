//! The parser and `serde_json` say the same of every line, and no record is lost.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unmogrowp_core::parse::parse;

#[path = "../../core/tests/oracle/mod.rs"]
mod oracle;

/// Looked at one by one: each takes as long as the whole.
const LINES_MAX: usize = 3;

fuzz_target!(|body: &[u8]| {
    if let Ok(parsed) = parse(body, &oracle::context()) {
        oracle::check_books(body, &parsed);
    }
    for line in body.split(|&byte| byte == b'\n').take(LINES_MAX) {
        oracle::check_line(line);
    }
});
