//! The simulated file system of a node: names, directories and what of them is durable.
//!
//! A name that was made, changed or removed is durable only when its directory has been synced since. Until then a loss
//! of power may undo it; in one directory later changes never outlive earlier ones, and a rename is done or not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Component, Path};

use rustix::io::Errno;

use super::content::PAGE_BYTES;
use super::dice::Dice;
use super::inode::{File, Sync};
use super::options::DiskOptions;
use crate::{DirEntry, OpenOptions};

/// Names that are removed before files that nothing leads to any more are looked for.
const SWEEP_EVERY: u32 = 16;

/// Names a file or directory for as long as the disk lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(pub(super) u64);

const ROOT: InodeId = InodeId(0);

/// Files and directories.
#[derive(Clone, Debug)]
pub(super) struct FileSystem {
    options: DiskOptions,
    dice: Dice,
    inodes: BTreeMap<InodeId, Inode>,
    inodes_made: u64,
    /// Changes of names that are not durable, in their order.
    pending: VecDeque<NameChange>,
    changes_made: u64,
    /// Directories whose sync has failed.
    failed: BTreeSet<InodeId>,
    opened: u64,
    unlinked: u32,
}

#[derive(Clone, Debug)]
enum Inode {
    File(File),
    Directory(Directory),
}

#[derive(Clone, Debug, Default)]
struct Directory {
    live: BTreeMap<String, InodeId>,
    durable: BTreeMap<String, InodeId>,
}

/// A sync of all there is that is under way.
#[derive(Debug)]
pub(super) struct VolumeSync {
    names: Sync,
    /// The files, and which of their changes it covers.
    files: Vec<(InodeId, u64)>,
}

impl VolumeSync {
    pub(super) fn takes(&self) -> std::time::Duration {
        self.names.takes
    }
}

/// What happens to names at once: one, or the two of a rename.
#[derive(Clone, Debug)]
struct NameChange {
    number: u64,
    /// Directory, name, and what it leads to now.
    names: Vec<(InodeId, String, Option<InodeId>)>,
}

impl NameChange {
    fn touches(&self, directories: &BTreeSet<InodeId>) -> bool {
        self.names.iter().any(|(directory, ..)| directories.contains(directory))
    }

    fn directories(&self) -> impl Iterator<Item = InodeId> {
        self.names.iter().map(|(directory, ..)| *directory)
    }
}

impl FileSystem {
    pub(super) fn new(options: DiskOptions, dice: Dice) -> FileSystem {
        FileSystem {
            options,
            dice,
            inodes: BTreeMap::from([(ROOT, Inode::Directory(Directory::default()))]),
            inodes_made: 0,
            pending: VecDeque::new(),
            changes_made: 0,
            failed: BTreeSet::new(),
            opened: 0,
            unlinked: 0,
        }
    }

    /// Another disk with the same on it, used by nobody, with luck of its own.
    pub(super) fn copy(&self, dice: Dice) -> FileSystem {
        let mut copy = FileSystem { dice, ..self.clone() };
        copy.end_process();
        copy
    }

    pub(super) fn set_options(&mut self, options: DiskOptions) {
        self.options = options;
    }

    // Names.

    fn directory(&self, id: InodeId) -> io::Result<&Directory> {
        match self.inodes.get(&id) {
            Some(Inode::Directory(directory)) => Ok(directory),
            Some(Inode::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn is_directory(&self, id: InodeId) -> bool {
        self.directory(id).is_ok()
    }

    fn find(&self, path: &Path) -> io::Result<InodeId> {
        names(path)?.iter().try_fold(ROOT, |directory, name| {
            self.directory(directory)?.live.get(*name).copied().ok_or_else(|| Errno::NOENT.into())
        })
    }

    /// The directory of a path, and the name in it.
    fn find_parent<'a>(&self, path: &'a Path) -> io::Result<(InodeId, &'a str)> {
        let names = names(path)?;
        let (name, above) = names.split_last().ok_or(Errno::BUSY)?;
        let parent = above.iter().try_fold(ROOT, |directory, name| {
            self.directory(directory)?.live.get(*name).copied().ok_or_else(|| io::Error::from(Errno::NOENT))
        })?;
        self.directory(parent)?;
        Ok((parent, name))
    }

    fn lookup(&self, parent: InodeId, name: &str) -> Option<InodeId> {
        self.directory(parent).ok()?.live.get(name).copied()
    }

    /// Changes names, for readers at once.
    fn change(&mut self, names: Vec<(InodeId, String, Option<InodeId>)>) {
        for (directory, name, target) in &names {
            let Some(Inode::Directory(directory)) = self.inodes.get_mut(directory) else { continue };
            let before = match target {
                Some(target) => directory.live.insert(name.clone(), *target),
                None => directory.live.remove(name),
            };
            if let Some(Inode::File(file)) = target.and_then(|target| self.inodes.get_mut(&target)) {
                file.links += 1;
            }
            if let Some(before) = before {
                self.unlinked += 1;
                if let Some(Inode::File(file)) = self.inodes.get_mut(&before) {
                    file.links -= 1;
                }
            }
        }
        self.pending.push_back(NameChange { number: self.changes_made, names });
        self.changes_made += 1;
    }

    fn make(&mut self, parent: InodeId, name: &str, inode: Inode) -> io::Result<InodeId> {
        if self.free_pages() == 0 {
            return Err(Errno::NOSPC.into());
        }
        self.inodes_made += 1;
        let id = InodeId(self.inodes_made);
        self.inodes.insert(id, inode);
        self.change(vec![(parent, name.to_string(), Some(id))]);
        Ok(id)
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut directory = ROOT;
        let names = names(path)?;
        for (index, name) in names.iter().enumerate() {
            directory = match self.lookup(directory, name) {
                Some(found) if self.is_directory(found) => found,
                Some(_) if index + 1 == names.len() => return Err(Errno::EXIST.into()),
                Some(_) => return Err(Errno::NOTDIR.into()),
                None => self.make(directory, name, Inode::Directory(Directory::default()))?,
            };
        }
        Ok(())
    }

    pub(super) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let directory = self.directory(self.find(path)?)?;
        let entry =
            |(name, id): (&String, &InodeId)| DirEntry { name: name.clone(), is_dir: self.is_directory(*id) };
        Ok(directory.live.iter().map(entry).collect())
    }

    pub(super) fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_parent, from_name) = self.find_parent(from)?;
        let (to_parent, to_name) = self.find_parent(to)?;
        let moved = self.lookup(from_parent, from_name).ok_or(Errno::NOENT)?;
        if self.is_directory(moved) && self.is_within(to_parent, moved) {
            return Err(Errno::INVAL.into());
        }
        if let Some(replaced) = self.lookup(to_parent, to_name) {
            match (self.directory(moved), self.directory(replaced)) {
                _ if moved == replaced => return Ok(()),
                _ if self.is_within(from_parent, replaced) => return Err(Errno::NOTEMPTY.into()),
                (Ok(_), Ok(directory)) if !directory.live.is_empty() => return Err(Errno::NOTEMPTY.into()),
                (Ok(_), Err(_)) => return Err(Errno::NOTDIR.into()),
                (Err(_), Ok(_)) => return Err(Errno::ISDIR.into()),
                _ => {}
            }
        }
        let gone = (from_parent, from_name.to_string(), None);
        self.change(vec![gone, (to_parent, to_name.to_string(), Some(moved))]);
        self.sweep();
        Ok(())
    }

    /// Whether `directory` lies in `above`, or is it.
    fn is_within(&self, directory: InodeId, above: InodeId) -> bool {
        directory == above
            || self
                .directory(above)
                .is_ok_and(|above| above.live.values().any(|below| self.is_within(directory, *below)))
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.find_parent(path)?;
        let removed = self.lookup(parent, name).ok_or(Errno::NOENT)?;
        if self.is_directory(removed) {
            return Err(Errno::ISDIR.into());
        }
        self.change(vec![(parent, name.to_string(), None)]);
        self.sweep();
        Ok(())
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.find_parent(path)?;
        let removed = self.lookup(parent, name).ok_or(Errno::NOENT)?;
        self.directory(removed)?;
        self.remove_tree(parent, name, removed);
        self.sweep();
        Ok(())
    }

    /// What is in it first, as the calls of the operating system have to.
    fn remove_tree(&mut self, parent: InodeId, name: &str, removed: InodeId) {
        if let Ok(directory) = self.directory(removed) {
            for (name, below) in directory.live.clone() {
                self.remove_tree(removed, &name, below);
            }
        }
        self.change(vec![(parent, name.to_string(), None)]);
    }

    // Open files.

    /// Opens a file; also gives this opening a number of its own.
    pub(super) fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<(InodeId, u64)> {
        if !options.write && (options.create || options.truncate) {
            return Err(Errno::INVAL.into());
        }
        let (parent, name) = self.find_parent(path)?;
        let id = match self.lookup(parent, name) {
            Some(id) if self.is_directory(id) => return Err(Errno::ISDIR.into()),
            Some(id) => id,
            None if options.create => self.make(parent, name, Inode::File(File::default()))?,
            None => return Err(Errno::NOENT.into()),
        };
        let file = self.file(id)?;
        file.handles += 1;
        if options.truncate {
            file.set_len(0);
        }
        self.opened += 1;
        Ok((id, self.opened))
    }

    pub(super) fn close(&mut self, id: InodeId, opening: u64) {
        let Ok(file) = self.file(id) else { return };
        file.handles -= 1;
        if file.locked_by == Some(opening) {
            file.locked_by = None;
        }
        self.sweep();
    }

    pub(super) fn file(&mut self, id: InodeId) -> io::Result<&mut File> {
        match self.inodes.get_mut(&id) {
            Some(Inode::File(file)) => Ok(file),
            Some(Inode::Directory(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::BADF.into()),
        }
    }

    pub(super) fn try_lock(&mut self, id: InodeId, opening: u64) -> io::Result<()> {
        let file = self.file(id)?;
        if file.locked_by.is_some_and(|holder| holder != opening) {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process has locked this directory",
            ));
        }
        file.locked_by = Some(opening);
        Ok(())
    }

    pub(super) fn read(&mut self, id: InodeId, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.dice.happens(self.options.read_failure_probability) {
            return Err(Errno::IO.into());
        }
        Ok(self.file(id)?.read(buffer, offset))
    }

    pub(super) fn write(&mut self, id: InodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        let free = self.free_pages();
        let fails = self.dice.happens(self.options.write_failure_probability);
        let most = bytes.len() as u64;
        let written = if fails { self.dice.below(most + 1) } else { most };
        let written = usize::try_from(written).unwrap_or(bytes.len());
        let file = self.file(id)?;
        let fitting = file.fits(offset, bytes.len(), free);
        file.write(&bytes[..written.min(fitting)], offset);
        match (fails, fitting < bytes.len()) {
            (true, _) => Err(Errno::IO.into()),
            (_, true) => Err(Errno::NOSPC.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn allocate(&mut self, id: InodeId, length: u64) -> io::Result<()> {
        let free = self.free_pages();
        let file = self.file(id)?;
        if length.div_ceil(PAGE_BYTES as u64) > file.pages().saturating_add(free) {
            return Err(Errno::NOSPC.into());
        }
        file.allocate(length);
        Ok(())
    }

    /// Pages that are left. What has neither a name nor an open file takes none.
    fn free_pages(&self) -> u64 {
        let Some(capacity) = self.options.capacity_bytes else { return u64::MAX / 2 };
        let pages = self.inodes.values().map(|inode| match inode {
            Inode::File(file) if file.links > 0 || file.handles > 0 => file.pages(),
            _ => 0,
        });
        (capacity / PAGE_BYTES as u64).saturating_sub(pages.sum())
    }

    // What is durable.

    pub(super) fn begin_sync(&mut self, id: InodeId) -> io::Result<Sync> {
        let FileSystem { options, dice, inodes, .. } = self;
        match inodes.get(&id) {
            Some(Inode::File(file)) => Ok(file.begin_sync(options, dice)),
            _ => Err(Errno::BADF.into()),
        }
    }

    pub(super) fn end_sync(&mut self, id: InodeId, sync: Sync) -> io::Result<()> {
        let FileSystem { dice, inodes, .. } = self;
        match inodes.get_mut(&id) {
            Some(Inode::File(file)) => {
                if file.end_sync(sync, dice) {
                    Ok(())
                } else {
                    Err(Errno::IO.into())
                }
            }
            _ => Err(Errno::BADF.into()),
        }
    }

    pub(super) fn begin_sync_dir(&mut self, path: &Path) -> io::Result<(InodeId, Sync)> {
        let id = self.find(path)?;
        self.directory(id)?;
        let FileSystem { options, dice, .. } = self;
        Ok((
            id,
            Sync {
                until: self.changes_made,
                takes: options.sync_time(dice),
                fails: options.sync_fails(dice),
            },
        ))
    }

    pub(super) fn end_sync_dir(&mut self, id: InodeId, sync: Sync) -> io::Result<()> {
        if sync.fails {
            self.failed.insert(id);
        }
        if self.failed.contains(&id) {
            return Err(Errno::IO.into());
        }
        // Backwards: a change takes with it what came before in each of its directories.
        let mut directories = BTreeSet::from([id]);
        let mut durable = BTreeSet::new();
        for change in self.pending.iter().rev().filter(|change| change.number < sync.until) {
            if change.touches(&directories) {
                directories.extend(change.directories());
                durable.insert(change.number);
            }
        }
        self.settle(|change| durable.contains(&change.number));
        self.sweep();
        Ok(())
    }

    pub(super) fn begin_sync_volume(&mut self) -> VolumeSync {
        let FileSystem { options, dice, inodes, .. } = self;
        let names = Sync {
            until: self.changes_made,
            takes: options.sync_time(dice),
            fails: options.sync_fails(dice),
        };
        let files = inodes.iter().filter_map(|(id, inode)| match inode {
            Inode::File(file) => Some((*id, file.changes_made())),
            Inode::Directory(_) => None,
        });
        VolumeSync { names, files: files.collect() }
    }

    /// The root, for the record, and how it went.
    pub(super) fn end_sync_volume(&mut self, sync: VolumeSync) -> (InodeId, io::Result<()>) {
        let FileSystem { dice, inodes, .. } = self;
        let mut is_good = !sync.names.fails && self.failed.is_empty();
        for (id, until) in sync.files {
            if let Some(Inode::File(file)) = inodes.get_mut(&id) {
                // Where a volume fails, it fails some of its files.
                let fails = sync.names.fails && dice.happens(0.5);
                is_good &= file.end_sync(Sync { until, fails, ..sync.names }, dice);
            }
        }
        if !is_good {
            return (ROOT, Err(Errno::IO.into()));
        }
        self.settle(|change| change.number < sync.names.until);
        self.sweep();
        (ROOT, Ok(()))
    }

    /// Makes the chosen changes durable; the others still wait.
    fn settle(&mut self, mut choose: impl FnMut(&NameChange) -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if !choose(&change) {
                self.pending.push_back(change);
                continue;
            }
            for (directory, name, target) in change.names {
                let Some(Inode::Directory(directory)) = self.inodes.get_mut(&directory) else { continue };
                match target {
                    Some(target) => directory.durable.insert(name, target),
                    None => directory.durable.remove(&name),
                };
            }
        }
    }

    /// The power fails and comes back.
    pub(super) fn lose_power(&mut self) {
        // Per directory some first changes have made it; how many, differs from one loss to the next.
        let luck = self.dice.below(5) as f64 / 4.0;
        let mut dice = self.dice.clone();
        let mut stopped = BTreeSet::new();
        self.settle(|change| {
            let made_it = !change.touches(&stopped) && dice.happens(luck);
            if !made_it {
                stopped.extend(change.directories());
            }
            made_it
        });
        self.dice = dice;
        self.pending.clear();
        self.failed.clear();
        let FileSystem { dice, inodes, .. } = self;
        let mut linked = Vec::new();
        for inode in inodes.values_mut() {
            match inode {
                Inode::File(file) => {
                    file.lose_power(dice);
                    file.links = 0;
                }
                Inode::Directory(directory) => {
                    directory.live = directory.durable.clone();
                    linked.extend(directory.live.values().copied());
                }
            }
        }
        for id in linked {
            if let Ok(file) = self.file(id) {
                file.links += 1;
            }
        }
        self.unlinked = SWEEP_EVERY;
        self.sweep();
    }

    /// The process that used it has ended; the page cache stays.
    pub(super) fn end_process(&mut self) {
        for inode in self.inodes.values_mut() {
            if let Inode::File(file) = inode {
                file.end_process();
            }
        }
    }

    /// Forgets, now and then, what neither a name nor an open file nor a name on the disk leads to.
    fn sweep(&mut self) {
        if self.unlinked < SWEEP_EVERY {
            return;
        }
        self.unlinked = 0;
        let mut reached = BTreeSet::from([ROOT]);
        let mut left = vec![ROOT];
        let pending =
            self.pending.iter().flat_map(|change| change.names.iter().filter_map(|(.., target)| *target));
        left.extend(pending);
        let open =
            self.inodes.iter().filter(|(_, inode)| matches!(inode, Inode::File(file) if file.handles > 0));
        left.extend(open.map(|(id, _)| *id));
        while let Some(id) = left.pop() {
            reached.insert(id);
            if let Ok(directory) = self.directory(id) {
                let below = directory.live.values().chain(directory.durable.values());
                left.extend(below.filter(|id| !reached.contains(id)));
            }
        }
        self.inodes.retain(|id, _| reached.contains(id));
    }

    /// Flips a bit of a file; tells where.
    pub(super) fn corrupt(&mut self, path: &Path) -> io::Result<u64> {
        let id = self.find(path)?;
        let mut dice = self.dice.clone();
        let offset = self.file(id)?.corrupt(&mut dice);
        self.dice = dice;
        offset.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty file has no bits"))
    }
}

/// The names along a path, from the root.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or(Errno::INVAL)?),
            // Where it leads depends on what is there; nobody needs it.
            Component::ParentDir => return Err(Errno::INVAL.into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
impl FileSystem {
    /// Files and directories that are kept, durable or not.
    pub(super) fn inode_count(&self) -> usize {
        self.inodes.len()
    }
}
