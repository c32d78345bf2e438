//! A disk in memory, mounted through FUSE: one flat directory that knows, page by page, what was synced.

#![allow(unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};

const PAGE: usize = 4096;
const ROOT: u64 = 1;
const TTL: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Inode {
    mode: u16,
    live: Vec<u8>,
    /// What is safe.
    synced: Vec<u8>,
    /// Pages written since.
    dirty: BTreeSet<usize>,
}

struct State {
    random: u64,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    /// The directory as it was synced.
    synced_names: BTreeMap<String, u64>,
    next: u64,
}

impl State {
    /// xorshift64*: the same cuts for the same seed and the same writes.
    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn survives(&mut self, survival: f64) -> bool {
        ((self.random() >> 11) as f64 / (1u64 << 53) as f64) < survival
    }
}

/// What a cut leaves.
pub struct Image(BTreeMap<String, Vec<u8>>);

impl Image {
    pub fn write_to(&self, directory: &Path) {
        for (name, bytes) in &self.0 {
            std::fs::write(directory.join(name), bytes).unwrap();
        }
    }
}

#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            next: ROOT + 1,
        })))
    }

    pub fn random(&self, below: usize) -> usize {
        (self.state().random() >> 33) as usize % below
    }

    /// What would be there if the power went now. The disk itself goes on.
    pub fn cut(&self, survival: f64) -> Image {
        let mut state = self.state();
        let mut names = state.synced_names.clone();
        for (name, ino) in state.names.clone() {
            if names.get(&name) != Some(&ino) && state.survives(survival) {
                names.insert(name, ino);
            }
        }
        for name in state.synced_names.keys().cloned().collect::<Vec<_>>() {
            if !state.names.contains_key(&name) && state.survives(survival) {
                names.remove(&name);
            }
        }
        let mut image = BTreeMap::new();
        for (name, ino) in names {
            let Some(inode) = state.inodes.get(&ino) else { continue };
            let (mut bytes, live, dirty) = (inode.synced.clone(), inode.live.clone(), inode.dirty.clone());
            if live.len() < bytes.len() && state.survives(survival) {
                bytes.truncate(live.len());
            }
            for page in dirty {
                let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(live.len()));
                if from < to && state.survives(survival) {
                    bytes.resize(bytes.len().max(to), 0);
                    bytes[from..to].copy_from_slice(&live[from..to]);
                }
            }
            image.insert(name, bytes);
        }
        Image(image)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn attributes(state: &State, ino: u64) -> Option<FileAttr> {
        let (kind, perm, size) = if ino == ROOT {
            (FileType::Directory, 0o700, 0)
        } else {
            let inode = state.inodes.get(&ino)?;
            (FileType::RegularFile, inode.mode, inode.live.len() as u64)
        };
        let time = SystemTime::UNIX_EPOCH;
        Some(FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: owner().0,
            gid: owner().1,
            rdev: 0,
            blksize: PAGE as u32,
            flags: 0,
        })
    }
}

/// User and group of this process.
fn owner() -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or((0, 0), |metadata| (metadata.uid(), metadata.gid()))
}

/// A mounted disk; unmounted when this goes.
pub struct Mounted {
    directory: tempfile::TempDir,
    session: Option<BackgroundSession>,
}

impl Mounted {
    pub fn mount(disk: &Disk) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("journal-test".into()), MountOption::NoAtime];
        let session = fuser::spawn_mount(disk.clone(), directory.path(), &config)?;
        Ok(Self { directory, session: Some(session) })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            println!("not unmounted: {error}");
        }
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        let found = name.to_str().and_then(|name| state.names.get(name));
        match found.and_then(|ino| Self::attributes(&state, *ino)) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match Self::attributes(&self.state(), ino.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        if let Some(inode) = state.inodes.get_mut(&ino.0) {
            if let Some(mode) = mode {
                inode.mode = (mode & 0o777) as u16;
            }
            if let Some(size) = size {
                let size = usize::try_from(size).unwrap();
                inode.dirty.extend(inode.live.len() / PAGE..size.div_ceil(PAGE));
                inode.live.resize(size, 0);
            }
        }
        match Self::attributes(&state, ino.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.state();
        let ino = state.next;
        state.next += 1;
        state.inodes.insert(ino, Inode { mode: (mode & !umask & 0o777) as u16, ..Inode::default() });
        state.names.insert(name.to_str().unwrap().to_owned(), ino);
        let attributes = Self::attributes(&state, ino).unwrap();
        reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn unlink(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        // The inode stays: it may be open, and the removal may not survive.
        match name.to_str().and_then(|name| self.state().names.remove(name)) {
            Some(_) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn rename(
        &self,
        _req: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        match name.to_str().and_then(|name| state.names.remove(name)) {
            Some(ino) => {
                state.names.insert(newname.to_str().unwrap().to_owned(), ino);
                reply.ok();
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.state();
        let Some(inode) = state.inodes.get(&ino.0) else { return reply.error(Errno::ENOENT) };
        let from = usize::try_from(offset).unwrap().min(inode.live.len());
        let to = (from + size as usize).min(inode.live.len());
        reply.data(&inode.live[from..to]);
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let Some(inode) = state.inodes.get_mut(&ino.0) else { return reply.error(Errno::ENOENT) };
        let from = usize::try_from(offset).unwrap();
        let to = from + data.len();
        if inode.live.len() < to {
            inode.live.resize(to, 0);
        }
        inode.live[from..to].copy_from_slice(data);
        inode.dirty.extend(from / PAGE..to.div_ceil(PAGE));
        reply.written(data.len() as u32);
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let mut state = self.state();
        let Some(inode) = state.inodes.get_mut(&ino.0) else { return reply.error(Errno::ENOENT) };
        let size = inode.live.len();
        inode.synced.resize(size, 0);
        for page in std::mem::take(&mut inode.dirty) {
            let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(size));
            if from < to {
                inode.synced[from..to].copy_from_slice(&inode.live[from..to]);
            }
        }
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let mut state = self.state();
        state.synced_names = state.names.clone();
        reply.ok();
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.state();
        for (at, (name, ino)) in state.names.iter().enumerate().skip(usize::try_from(offset).unwrap()) {
            if reply.add(INodeNo(*ino), at as u64 + 1, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, PAGE as u32, 255, PAGE as u32);
    }
}
