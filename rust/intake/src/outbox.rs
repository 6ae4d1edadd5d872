//! Answers on their way out, and the bell that says so.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use crate::Answer;

/// Answers wait here until they are taken. One byte is in the bell while there are any.
pub(crate) struct Outbox {
    answers: Mutex<Vec<Answer>>,
    ring: UnixStream,
    bell: UnixStream,
}

impl Outbox {
    pub(crate) fn new() -> io::Result<Self> {
        let (ring, bell) = UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        Ok(Self { answers: Mutex::default(), ring, bell })
    }

    pub(crate) fn bell(&self) -> &UnixStream {
        &self.bell
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

    /// The bell is silenced before the answers are taken: one put in between rings for nothing,
    /// which is better than not at all.
    pub(crate) fn take(&self) -> Vec<Answer> {
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
