//! Who may write: asked of a [`Gate`], believed for a moment.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use siphasher::sip128::SipHasher24;
use tokio::task;
use unmogrowp_intake::Refusal;

use crate::Shared;

/// A revocation is honoured within a second; the rest of that second is for the question itself.
const FRESH: Duration = Duration::from_millis(800);
/// From this age on it is asked again while the answer at hand still serves.
const RENEW: Duration = Duration::from_millis(400);
/// Keys that a worker remembers. All are forgotten at once: they are asked for again.
const REMEMBERED_MAX: usize = 10_000;

/// Knows the keys. May block: it is asked on threads of its own.
pub trait Gate: Send + Sync + 'static {
    /// What a key opens to a client at this address.
    ///
    /// # Errors
    /// The answer the client gets.
    fn admit(&self, key: Option<&str>, peer: IpAddr) -> Result<Pass, Refusal>;
}

/// Whose events a key brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The app of the key.
    pub app_id: String,
    /// The key, by the id that may be shown.
    pub key_id: String,
    /// Whether addresses are cut.
    pub truncate_ip: bool,
}

struct Known {
    pass: Rc<Pass>,
    asked: Instant,
    is_asked_again: bool,
}

/// The passes of one worker. Keys are known by a keyed hash: the time of a look-up tells nothing
/// about a key.
#[derive(Default)]
pub(crate) struct Passes {
    known: HashMap<u128, Known, foldhash::fast::RandomState>,
}

/// What a look-up says.
pub(crate) enum Look {
    /// Believe it.
    Fresh(Rc<Pass>),
    /// Believe it, and ask again.
    Renew(Rc<Pass>),
    /// Ask.
    Unknown,
}

impl Passes {
    pub(crate) fn look(&mut self, key: u128, now: Instant) -> Look {
        let Some(known) = self.known.get_mut(&key) else { return Look::Unknown };
        let age = now.saturating_duration_since(known.asked);
        if age >= FRESH {
            return Look::Unknown;
        }
        if age >= RENEW && !known.is_asked_again {
            known.is_asked_again = true;
            return Look::Renew(known.pass.clone());
        }
        Look::Fresh(known.pass.clone())
    }

    /// Remember what was said to a question asked at this time, or that it was no.
    pub(crate) fn learn(&mut self, key: u128, pass: Option<&Rc<Pass>>, asked: Instant) {
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        match pass {
            Some(pass) => {
                let known = Known { pass: pass.clone(), asked, is_asked_again: false };
                self.known.insert(key, known);
            }
            None => drop(self.known.remove(&key)),
        }
    }
}

/// What a key is known by.
pub(crate) fn fingerprint(seed: [u64; 2], key: &str) -> u128 {
    SipHasher24::new_with_keys(seed[0], seed[1]).hash(key.as_bytes()).as_u128()
}

/// Ask the gate on a thread that may block.
pub(crate) async fn ask(
    shared: &Arc<Shared>,
    key: Option<String>,
    peer: IpAddr,
) -> Result<Rc<Pass>, Refusal> {
    let gate = shared.gate.clone();
    let asked = task::spawn_blocking(move || gate.admit(key.as_deref(), peer)).await;
    asked.unwrap_or_else(|error| Err(Refusal::bug(&error))).map(Rc::new)
}

/// A number that nobody can guess.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass() -> Rc<Pass> {
        Rc::new(Pass { app_id: "a".to_owned(), key_id: "k".to_owned(), truncate_ip: false })
    }

    #[test]
    fn an_answer_is_believed_for_less_than_a_second_and_asked_again_once() {
        let (mut passes, asked) = (Passes::default(), Instant::now());
        assert!(matches!(passes.look(1, asked), Look::Unknown));
        passes.learn(1, Some(&pass()), asked);
        assert!(matches!(passes.look(1, asked), Look::Fresh(_)));
        assert!(matches!(passes.look(2, asked), Look::Unknown), "another key");
        assert!(matches!(passes.look(1, asked + RENEW), Look::Renew(_)));
        assert!(matches!(passes.look(1, asked + RENEW), Look::Fresh(_)), "somebody asks already");
        assert!(matches!(passes.look(1, asked + FRESH), Look::Unknown));
        passes.learn(1, Some(&pass()), asked + FRESH);
        assert!(matches!(passes.look(1, asked + FRESH), Look::Fresh(_)));
        passes.learn(1, None, asked + FRESH);
        assert!(matches!(passes.look(1, asked + FRESH), Look::Unknown), "revoked");
    }

    #[test]
    fn a_worker_remembers_so_many_keys() {
        let (mut passes, now) = (Passes::default(), Instant::now());
        for key in 0..3 * REMEMBERED_MAX as u128 {
            passes.learn(key, Some(&pass()), now);
        }
        assert!(passes.known.len() <= REMEMBERED_MAX);
    }
}
