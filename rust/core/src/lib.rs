//! Pure functions over bytes and Arrow: no disk, no network, no clock, no randomness.
//!
//! `bytes ─parse→ Parsed ─row→ spool bytes ─row→ events ─native→ warehouse block`
//! `events ─identity→ persons ─journey→ Journeys ─attribution→ credit`
//! `events ─cohort→ retention`, `days ─users→ people`
//! `tables, CSV ─import→ bytes`

pub mod attribution;
mod calendar;
pub mod cohort;
pub mod column;
pub mod ddl;
pub mod decompress;
pub mod dedup;
mod digest;
pub mod duration;
pub mod identity;
pub mod import;
pub mod inlet;
pub mod journey;
pub mod limits;
pub mod native;
pub mod parse;
pub mod reject;
pub mod row;
pub mod schema;
pub mod text;
mod threads;
pub mod users;

/// The vector instructions in use: `avx512`, `avx2`, `neon` or `scalar`.
pub fn simd() -> &'static str {
    unmogrowp_scan::Isa::active().path().name()
}
