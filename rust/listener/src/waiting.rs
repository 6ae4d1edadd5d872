//! Requests of a worker that wait for their commit.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use unmogrowp_intake::{Answer, Outbox};

/// Who waits, by token. A client that left is still in here until its answer comes.
pub(crate) struct Waiting {
    outbox: Arc<Outbox>,
    next: Cell<u64>,
    senders: RefCell<HashMap<u64, oneshot::Sender<Answer>, foldhash::fast::RandomState>>,
}

impl Waiting {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, next: Cell::new(0), senders: RefCell::default() }
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// A new token, and where its answer comes.
    pub(crate) fn enlist(&self) -> (u64, oneshot::Receiver<Answer>) {
        let token = self.next.get();
        self.next.set(token + 1);
        let (sender, receiver) = oneshot::channel();
        self.senders.borrow_mut().insert(token, sender);
        (token, receiver)
    }

    /// Nothing will come for this token.
    pub(crate) fn forget(&self, token: u64) {
        self.senders.borrow_mut().remove(&token);
    }

    /// Hand out answers for ever.
    pub(crate) async fn deliver(&self) -> io::Result<()> {
        let bell = self.outbox.bell().try_clone_to_owned()?;
        let bell = UnixStream::from_std(bell.into())?;
        loop {
            bell.readable().await?;
            let mut answers = Vec::new();
            // The outbox reads the bell until it is silent; what rings after that is not lost.
            let _ = bell.try_io(Interest::READABLE, || {
                answers = self.outbox.take();
                Err::<(), _>(io::ErrorKind::WouldBlock.into())
            });
            for answer in answers {
                if let Some(sender) = self.senders.borrow_mut().remove(&answer.token) {
                    // Its client may have left.
                    drop(sender.send(answer));
                }
            }
        }
    }
}
