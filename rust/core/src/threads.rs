//! Work by several threads.

use std::thread;

/// What two different works make: the second by a thread of its own, if there is more than one.
///
/// A panic in either goes on here.
pub(crate) fn both<A, B: Send>(
    threads: usize,
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    if threads < 2 {
        return (first(), second());
    }
    thread::scope(|scope| {
        let second = scope.spawn(second);
        (first(), joined(second))
    })
}

/// What each part of some work makes, in order: this thread does the first, the others one each.
///
/// A panic in any of them goes on here.
pub(crate) fn side_by_side<T: Send>(
    works: impl IntoIterator<Item = impl FnOnce() -> T + Send>,
) -> Vec<T> {
    let mut works = works.into_iter();
    let Some(first) = works.next() else { return Vec::new() };
    thread::scope(|scope| {
        let others: Vec<_> = works.map(|work| scope.spawn(work)).collect();
        let own = first();
        std::iter::once(own).chain(others.into_iter().map(joined)).collect()
    })
}

fn joined<T>(other: thread::ScopedJoinHandle<'_, T>) -> T {
    match other.join() {
        Ok(made) => made,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
