//! Who may write: asked of a [`Gate`], believed for a moment.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use siphasher::sip128::SipHasher24;
use tokio::sync::Semaphore;
use tokio::task;
use unmogrowp_intake::Refusal;

/// A revocation is honoured within a second; the rest of that second is for the question itself.
const FRESH: Duration = Duration::from_millis(800);
/// From this age on it is asked again while the answer at hand still serves.
const RENEW: Duration = Duration::from_millis(400);
/// Questions that may wait for the gate at once: as many as a burst of new connections brings.
pub(crate) const QUESTIONS_MAX: usize = 10_000;
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

/// A gate and the room before it.
pub(crate) struct Entrance {
    gate: Arc<dyn Gate>,
    room: Arc<Semaphore>,
}

impl Entrance {
    /// Nobody waits yet; at most so many may.
    pub(crate) fn new(gate: Arc<dyn Gate>, questions_max: usize) -> Self {
        Self { gate, room: Arc::new(Semaphore::new(questions_max)) }
    }

    /// Ask on a thread that may block. A question keeps its place until it is answered, whether
    /// or not somebody still waits: over HTTP/2 a request costs its sender nothing to take back.
    pub(crate) async fn ask(&self, key: Option<String>, peer: IpAddr) -> Result<Rc<Pass>, Refusal> {
        let Ok(place) = self.room.clone().try_acquire_owned() else { return Err(crowded()) };
        let gate = self.gate.clone();
        let asked = task::spawn_blocking(move || {
            let said = gate.admit(key.as_deref(), peer);
            drop(place);
            said
        });
        asked.await.unwrap_or_else(|error| Err(Refusal::bug(&error))).map(Rc::new)
    }
}

fn crowded() -> Refusal {
    Refusal::unavailable(&"too many keys are looked up at once\nhint: send it again later", 1)
}

/// A number that nobody can guess.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use tokio::runtime::Builder;
    use tokio::time::{sleep, timeout};

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

    /// Answers once it is told to.
    struct Slow(Mutex<Receiver<()>>);

    impl Gate for Slow {
        fn admit(&self, _: Option<&str>, _: IpAddr) -> Result<Pass, Refusal> {
            self.0.lock().unwrap().recv().unwrap();
            Ok(Pass::clone(&pass()))
        }
    }

    #[test]
    fn a_question_keeps_its_place_even_when_nobody_waits_for_the_answer() {
        let (tell, told) = channel();
        let entrance = Entrance::new(Arc::new(Slow(Mutex::new(told))), 2);
        let ask = || entrance.ask(Some("key".to_owned()), Ipv4Addr::LOCALHOST.into());
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            // Both leave before they are answered.
            for _ in 0..2 {
                assert!(timeout(Duration::from_millis(10), ask()).await.is_err());
            }
            let refused = ask().await.unwrap_err();
            assert_eq!((refused.status, refused.retry_after), (503, Some(1)));
            for _ in 0..2 {
                tell.send(()).unwrap();
            }
            while entrance.room.available_permits() < 2 {
                sleep(Duration::from_millis(1)).await;
            }
            tell.send(()).unwrap();
            assert_eq!(ask().await, Ok(pass()));
        });
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
