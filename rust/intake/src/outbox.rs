//! Answers on their way out, and the bell that says so.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Answer;

/// Answers wait here until they are taken. One byte is in the bell while there are any.
pub struct Outbox {
    answers: Mutex<Vec<Answer>>,
    ring: UnixStream,
    bell: UnixStream,
}

impl Outbox {
    /// An empty one.
    ///
    /// # Errors
    /// No descriptor is left for the bell.
    pub fn new() -> io::Result<Self> {
        let (ring, bell) = UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        Ok(Self { answers: Mutex::default(), ring, bell })
    }

    /// A descriptor that is readable while answers wait.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    pub(crate) fn put(&self, answers: Vec<Answer>) {
        let mut waiting = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = waiting.is_empty();
        waiting.extend(answers);
        if is_silent && !waiting.is_empty() {
            // A full bell rings already.
            drop((&self.ring).write(&[1]));
        }
    }

    /// Answers that are ready. Silences the bell.
    ///
    /// It falls silent before the answers are taken: one put in between rings for nothing, which is
    /// better than not at all.
    pub fn take(&self) -> Vec<Answer> {
        let mut bytes = [0; 64];
        loop {
            match (&self.bell).read(&mut bytes) {
                Ok(0) => break,
                Err(error) if error.kind() != ErrorKind::Interrupted => break,
                Ok(_) | Err(_) => {}
            }
        }
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the answer to a request is waited for, and by which name.
pub(crate) struct Return {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) token: u64,
}

/// Put each answer where it is waited for: one ring for all that go to the same place.
pub(crate) fn deliver<'a>(answers: impl Iterator<Item = (&'a Return, Answer)>) {
    let mut sorted: Vec<(&Arc<Outbox>, Vec<Answer>)> = Vec::new();
    for (Return { outbox, .. }, answer) in answers {
        match sorted.iter_mut().find(|(known, _)| Arc::ptr_eq(known, outbox)) {
            Some((_, waiting)) => waiting.push(answer),
            None => sorted.push((outbox, vec![answer])),
        }
    }
    for (outbox, answers) in sorted {
        outbox.put(answers);
    }
}
