//! The machine's own files as the spool uses them.

#![allow(clippy::unwrap_used, reason = "what a test sets up must work")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use unmogrowp_spool::{Disk, Local, Open, Settings, Spool, SpoolError};

#[test]
fn files_come_and_change_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let file = Local.open(&one, Open::Create).unwrap();
    file.write_at(b"0123456789", 0).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(file.size().unwrap(), 4);
    let mut bytes = [0; 9];
    assert_eq!(file.read_at(&mut bytes, 1).unwrap(), 3);
    assert_eq!(&bytes[..3], b"123");
    // What may be cool is read all the same.
    file.cool();
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 4);
    Local.rename(&one, &two).unwrap();
    assert_eq!(Local.names(dir.path()).unwrap(), ["two"]);
    Local.remove(&two).unwrap();
    assert!(Local.names(dir.path()).unwrap().is_empty());
    assert!(Local.remove(&two).is_err());
    assert!(Local.sync_dir(&two).is_err());
}

#[test]
fn numbers_that_nobody_can_foresee_differ() {
    let numbers: std::collections::BTreeSet<_> = (0..9).map(|_| Local.entropy()).collect();
    assert_eq!(numbers.len(), 9);
}

#[test]
fn file_has_one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { lock_wait: Duration::ZERO, ..Settings::default() };
    let open = || Spool::open(Arc::new(Local), dir.path(), &settings, &mut |_, _| {});
    let owner = open().unwrap();
    let refused = open().err().unwrap();
    assert!(matches!(refused, SpoolError::Locked { .. }) && !refused.is_missing());
    drop(owner);
    open().unwrap();
}

#[test]
fn directory_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let handle = Local.open(Path::new(dir.path()), Open::Read).unwrap();
    assert!(handle.read_at(&mut [0; 4], 0).is_err());
    assert!(Local.open(dir.path(), Open::Write).is_err());
}
