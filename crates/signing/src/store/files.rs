//! Files that nobody else can read, in folders that nobody else can write.
//!
//! A folder is opened and judged once, and everything in it is reached through that handle, so that it can't be exchanged in
//! between; a file is judged by its handle too.

use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
    process::{Resource, Rlimit},
};

use super::{Exposure, ShareError};

/// A folder that only we can write.
pub(super) struct Folder {
    handle: File,
    path: PathBuf,
}

/// A file's lock, held until this is dropped or the process ends.
pub(super) struct Held {
    _lock: File,
}

/// Lets the process dump no core, from which shares could be read, and nobody attach to it.
pub(super) fn no_core_dumps() -> Result<(), ShareError> {
    let failed = |errno: Errno| ShareError::Io {
        path: PathBuf::from("core dumps"),
        action: "be switched off",
        source: errno.into(),
    };
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(failed)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(failed)?;
    Ok(())
}

/// The user whose files are ours.
pub(super) fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// How others could read or write a file like this.
pub(super) fn exposure_of_file(stat: &Stat, us: u32) -> Option<Exposure> {
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        Some(Exposure::NotPlain)
    } else if stat.st_uid != us {
        Some(Exposure::Owner { owner: stat.st_uid, us })
    } else if mode & 0o077 != 0 {
        Some(Exposure::Access { mode })
    } else {
        None
    }
}

fn exposure_of_folder(stat: &Stat, us: u32) -> Option<Exposure> {
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        Some(Exposure::NoFolder)
    } else if stat.st_uid != us {
        Some(Exposure::Owner { owner: stat.st_uid, us })
    } else if mode & 0o022 != 0 {
        Some(Exposure::Folder { mode })
    } else {
        None
    }
}

impl Folder {
    /// Opens a folder.
    pub(super) fn open(path: &Path) -> Result<Self, ShareError> {
        let failed = |action, source: io::Error| ShareError::Io { path: path.into(), action, source };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOTDIR) => {
                return Err(ShareError::Exposed { path: path.into(), exposure: Exposure::NoFolder });
            }
            Err(Errno::NOENT) => return Err(ShareError::Missing(path.into())),
            Err(errno) => return Err(failed("be opened", errno.into())),
        };
        let stat = rustix::fs::fstat(&handle).map_err(|errno| failed("be judged", errno.into()))?;
        if let Some(exposure) = exposure_of_folder(&stat, us()) {
            return Err(ShareError::Exposed { path: path.into(), exposure });
        }
        Ok(Self { handle, path: path.into() })
    }

    /// Opens a folder, and makes it if need be: for us alone.
    pub(super) fn make(path: &Path) -> Result<Self, ShareError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| ShareError::Io { path: path.into(), action: "be made", source })?;
        Self::open(path)
    }

    /// The folder that a file is in, and the file's name there.
    pub(super) fn of_file(path: &Path) -> Result<(Self, String), ShareError> {
        let name =
            path.file_name().and_then(OsStr::to_str).ok_or_else(|| ShareError::NotShares(path.into()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok((Self::open(parent.unwrap_or(Path::new(".")))?, name.to_owned()))
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn failed(&self, name: &str, action: &'static str) -> impl Fn(Errno) -> ShareError {
        let path = self.path_of(name);
        move |errno| ShareError::Io { path: path.clone(), action, source: errno.into() }
    }

    /// A file's bytes, if it is there. `most`: what it may have at most.
    pub(super) fn read(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, ShareError> {
        let exposed = |exposure| ShareError::Exposed { path: self.path_of(name), exposure };
        // A pipe would let us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::MLINK) => return Err(exposed(Exposure::Link)),
            Err(errno) => return Err(self.failed(name, "be opened")(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(self.failed(name, "be judged"))?;
        if let Some(exposure) = exposure_of_file(&stat, us()) {
            return Err(exposed(exposure));
        }
        let length = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if length > most {
            return Err(ShareError::NotShares(self.path_of(name)));
        }
        let mut bytes = Vec::with_capacity(length);
        let bound = u64::try_from(most).unwrap_or(u64::MAX);
        let read = file.take(bound).read_to_end(&mut bytes);
        read.map_err(|source| ShareError::Io { path: self.path_of(name), action: "be read", source })?;
        Ok(Some(bytes))
    }

    /// Takes a file's lock: a file of its own, since the shares' file is replaced.
    pub(super) fn hold(&self, name: &str) -> Result<Held, ShareError> {
        let lock_name = format!("{name}.lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let exposed = |exposure| ShareError::Exposed { path: self.path_of(&lock_name), exposure };
        let lock = match rustix::fs::openat(&self.handle, lock_name.as_str(), flags, Mode::RUSR | Mode::WUSR)
        {
            Ok(lock) => File::from(lock),
            Err(Errno::LOOP | Errno::MLINK) => return Err(exposed(Exposure::Link)),
            Err(errno) => return Err(self.failed(&lock_name, "be opened")(errno)),
        };
        let stat = rustix::fs::fstat(&lock).map_err(self.failed(&lock_name, "be judged"))?;
        if let Some(exposure) = exposure_of_file(&stat, us()) {
            return Err(exposed(exposure));
        }
        match lock.try_lock() {
            Ok(()) => Ok(Held { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ShareError::InUse(self.path_of(name))),
            Err(TryLockError::Error(source)) => {
                Err(ShareError::Io { path: self.path_of(&lock_name), action: "be locked", source })
            }
        }
    }

    /// Puts a whole new file in the place of the one of this name, if there is one, and keeps that as `<name>.previous`. At any
    /// moment one of them stands there whole.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ShareError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| ShareError::System("random bytes"))?;
        let new = format!("{name}.new-{}", alloy_primitives::hex::encode(random));
        let done = self.write_new(&new, bytes).and_then(|()| self.put_in_place(&new, name));
        if done.is_err() {
            // It may not be there at all.
            let _ = rustix::fs::unlinkat(&self.handle, new.as_str(), AtFlags::empty());
        }
        done
    }

    fn write_new(&self, new: &str, bytes: &[u8]) -> Result<(), ShareError> {
        let failed = |action| move |source| ShareError::Io { path: self.path_of(new), action, source };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.handle, new, flags, mode).map_err(self.failed(new, "be made"))?;
        let mut file = File::from(file);
        // Whatever the process's umask takes away.
        rustix::fs::fchmod(&file, mode).map_err(self.failed(new, "be made"))?;
        file.write_all(bytes).map_err(failed("be written"))?;
        file.sync_all().map_err(failed("be made durable"))
    }

    fn put_in_place(&self, new: &str, name: &str) -> Result<(), ShareError> {
        let previous = format!("{name}.previous");
        let spare = format!("{previous}.new");
        let _ = rustix::fs::unlinkat(&self.handle, spare.as_str(), AtFlags::empty());
        match rustix::fs::linkat(&self.handle, name, &self.handle, spare.as_str(), AtFlags::empty()) {
            Ok(()) => rustix::fs::renameat(&self.handle, spare.as_str(), &self.handle, previous.as_str())
                .map_err(self.failed(&previous, "be put in place"))?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.failed(&previous, "be made")(errno)),
        }
        rustix::fs::renameat(&self.handle, new, &self.handle, name)
            .map_err(self.failed(name, "be put in place"))?;
        let synced = self.handle.sync_all();
        synced.map_err(|source| ShareError::Io { path: self.path.clone(), action: "be made durable", source })
    }
}
