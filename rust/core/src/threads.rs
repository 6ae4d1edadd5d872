//! The same work by several threads.

use std::thread;

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
        let joined = |other: thread::ScopedJoinHandle<'_, T>| match other.join() {
            Ok(made) => made,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        std::iter::once(own).chain(others.into_iter().map(joined)).collect()
    })
}
