//! A disk in memory that forgets what was not synced, in the worst order, by a seed.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a broken simulation is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use unmogrowp_spool::{Disk, Handle, Open};

/// Sectors reach the platter whole, but in any order.
const SECTOR: usize = 512;

/// Random numbers from a seed (the generator `SplitMix64`).
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    is_locked: bool,
    is_cool: bool,
}

/// A name that comes, goes, or both at once.
#[derive(Clone)]
struct Rename {
    gone: Option<PathBuf>,
    come: Option<(PathBuf, usize)>,
}

struct State {
    dice: Dice,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Rename>,
    dirs: BTreeSet<PathBuf>,
    sync_failures: u32,
    /// One in so many operations fails; 0: none.
    fail_one_in: u64,
    /// Operations until the process is killed; nothing reaches the disk after that.
    life: u64,
}

#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<State>>);

struct SimHandle {
    state: Arc<Mutex<State>>,
    inode: usize,
    is_owner: Mutex<bool>,
}

fn broken() -> io::Error {
    io::Error::other("simulated EIO")
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
        Change::Cut(len) => bytes.resize(*len, 0),
    }
}

/// What a change leaves behind where only some of its sectors arrive.
fn tear(bytes: &mut Vec<u8>, change: &Change, dice: &mut Dice) {
    match change {
        Change::Write(offset, data) => {
            let mut at = 0;
            while at < data.len() {
                let to_edge = SECTOR - (offset + at) % SECTOR;
                let stop = (at + to_edge).min(data.len());
                if dice.one_in(2) {
                    apply(bytes, &Change::Write(offset + at, data[at..stop].to_vec()));
                }
                at = stop;
            }
        }
        Change::Cut(_) if dice.one_in(2) => apply(bytes, change),
        Change::Cut(_) => {}
    }
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, change: &Rename) {
    if let Some(gone) = &change.gone {
        names.remove(gone);
    }
    if let Some((path, inode)) = &change.come {
        names.insert(path.clone(), *inode);
    }
}

impl State {
    fn strike(&mut self) -> io::Result<()> {
        self.life = self.life.saturating_sub(1);
        if self.life == 0 {
            return Err(broken());
        }
        let is_hit = self.fail_one_in > 0 && self.dice.clone().one_in(self.fail_one_in);
        self.dice.roll();
        if is_hit { Err(broken()) } else { Ok(()) }
    }

    fn rename(&mut self, change: Rename) {
        rename(&mut self.names, &change);
        self.pending_names.push(change);
    }
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice: Dice(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            dirs: BTreeSet::new(),
            sync_failures: 0,
            fail_one_in: 0,
            life: u64::MAX,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Make the next `count` syncs fail.
    pub(crate) fn fail_syncs(&self, count: u32) {
        self.state().sync_failures = count;
    }

    /// Make one in `count` operations fail; 0 makes none fail.
    pub(crate) fn fail_one_in(&self, count: u64) {
        self.state().fail_one_in = count;
    }

    /// Kill the process after so many operations.
    pub(crate) fn live_for(&self, operations: u64) {
        self.state().life = operations;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().life == 0
    }

    /// Power loss: of what was not synced, some sectors arrive and some do not.
    pub(crate) fn lose_power(&self) {
        let mut state = self.state();
        let mut dice = state.dice.clone();
        for inode in &mut state.inodes {
            for change in std::mem::take(&mut inode.pending) {
                tear(&mut inode.durable, &change, &mut dice);
            }
            inode.live = inode.durable.clone();
            inode.is_locked = false;
        }
        for change in std::mem::take(&mut state.pending_names) {
            if dice.one_in(2) {
                rename(&mut state.durable_names, &change);
            }
        }
        state.names = state.durable_names.clone();
        state.dice = dice;
    }

    /// Change bytes of a file behind everybody's back.
    pub(crate) fn spoil(&self, path: &Path, offset: usize, mask: u8) {
        let mut state = self.state();
        let inode = state.names[path];
        state.inodes[inode].live[offset] ^= mask;
        state.inodes[inode].durable[offset] ^= mask;
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[path]].live.clone()
    }

    /// Whether a file's pages were given back.
    pub(crate) fn is_cool(&self, path: &Path) -> bool {
        let state = self.state();
        state.inodes[state.names[path]].is_cool
    }

    /// Put a file there, durably.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let inode = Inode { live: bytes.to_vec(), durable: bytes.to_vec(), ..Inode::default() };
        state.inodes.push(inode);
        let number = state.inodes.len() - 1;
        state.names.insert(path.to_owned(), number);
        state.durable_names.insert(path.to_owned(), number);
    }

    /// Every file with its bytes.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let file = |(p, &i): (&PathBuf, &usize)| (p.clone(), state.inodes[i].live.clone());
        state.names.iter().map(file).collect()
    }
}

impl Disk for Sim {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn Handle>> {
        let mut state = self.state();
        let known = state.names.get(path).copied();
        let inode = match (known, how) {
            (Some(inode), Open::Create) => {
                state.inodes[inode].live.clear();
                state.inodes[inode].pending.push(Change::Cut(0));
                inode
            }
            (Some(inode), _) => inode,
            (None, Open::Create | Open::Keep) => {
                state.strike()?;
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.rename(Rename { gone: None, come: Some((path.to_owned(), inode)) });
                inode
            }
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        drop(state);
        Ok(Box::new(SimHandle { state: self.0.clone(), inode, is_owner: Mutex::new(false) }))
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let in_dir = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(in_dir.map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().dirs.insert(dir.to_owned());
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.strike()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(Rename { gone: Some(path.to_owned()), come: None });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.strike()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.rename(Rename { gone: Some(from.to_owned()), come: Some((to.to_owned(), inode)) });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.strike()?;
        let is_in = |c: &Rename| {
            let path = c.gone.as_ref().or(c.come.as_ref().map(|(path, _)| path));
            path.and_then(|p| p.parent()) == Some(dir)
        };
        let (now, later) = std::mem::take(&mut state.pending_names).into_iter().partition(is_in);
        state.pending_names = later;
        let now: Vec<Rename> = now;
        for change in now {
            rename(&mut state.durable_names, &change);
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn entropy(&self) -> u64 {
        self.state().dice.roll()
    }
}

impl Handle for SimHandle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock().unwrap();
        let live = &state.inodes[self.inode].live;
        let from = usize::try_from(offset).unwrap().min(live.len());
        let to = (from + buffer.len()).min(live.len());
        buffer[..to - from].copy_from_slice(&live[from..to]);
        Ok(to - from)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let result = state.strike();
        let mut written = bytes.to_vec();
        if state.life == 0 {
            return result;
        }
        if result.is_err() {
            let share = state.dice.below(written.len() as u64 + 1);
            written.truncate(usize::try_from(share).unwrap());
        }
        let change = Change::Write(usize::try_from(offset).unwrap(), written);
        let inode = &mut state.inodes[self.inode];
        apply(&mut inode.live, &change);
        inode.pending.push(change);
        result
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let is_told = state.sync_failures > 0;
        state.sync_failures = state.sync_failures.saturating_sub(1);
        let result = if is_told { Err(broken()) } else { state.strike() };
        if state.life == 0 {
            return result;
        }
        let mut dice = state.dice.clone();
        let inode = &mut state.inodes[self.inode];
        for change in std::mem::take(&mut inode.pending) {
            match result {
                Ok(()) => apply(&mut inode.durable, &change),
                // The pages are clean now: a later sync would succeed and save nothing.
                Err(_) => tear(&mut inode.durable, &change, &mut dice),
            }
        }
        state.dice = dice;
        result
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.strike()?;
        let change = Change::Cut(usize::try_from(bytes).unwrap());
        let inode = &mut state.inodes[self.inode];
        apply(&mut inode.live, &change);
        inode.pending.push(change);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().inodes[self.inode].live.len() as u64)
    }

    fn cool(&self) {
        self.state.lock().unwrap().inodes[self.inode].is_cool = true;
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.state.lock().unwrap();
        let inode = &mut state.inodes[self.inode];
        let is_free = !inode.is_locked;
        inode.is_locked = true;
        *self.is_owner.lock().unwrap() |= is_free;
        Ok(is_free)
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        if *self.is_owner.lock().unwrap() {
            self.state.lock().unwrap().inodes[self.inode].is_locked = false;
        }
    }
}
