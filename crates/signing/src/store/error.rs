//! Why shares are not read or written, and what to do about it.

use std::{io, path::PathBuf};

/// Who else could have read or written a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposure {
    /// It belongs to somebody else.
    #[error("it belongs to user {owner}, not to this process's user {us}: chown it")]
    Owner {
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others may read or write it.
    #[error("others have access to it (mode {mode:03o}): chmod 600 it")]
    Access {
        /// Its permissions.
        mode: u32,
    },
    /// Others may write the folder.
    #[error("others can write the folder (mode {mode:03o}): chmod 700 it")]
    Folder {
        /// Its permissions.
        mode: u32,
    },
    /// It is a link.
    #[error("it is a symbolic link: put the file itself there")]
    Link,
    /// It is a folder, a device or a pipe.
    #[error("it is no plain file")]
    NotPlain,
    /// The folder is something else.
    #[error("it is no folder")]
    NoFolder,
}

/// Why shares are not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The system refuses.
    #[error("{}: can't {action}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There is no such file.
    #[error("{}: there is no such file", .0.display())]
    Missing(PathBuf),
    /// Somebody else could read or write it.
    #[error("{}: {exposure}", path.display())]
    Exposed {
        /// Which file or folder.
        path: PathBuf,
        /// How.
        exposure: Exposure,
    },
    /// Another process has it open.
    #[error("{}: another process uses these shares, and two must never: end it first", .0.display())]
    InUse(PathBuf),
    /// It would be overwritten by other shares.
    #[error("{}: other shares are there, which are not overwritten", .0.display())]
    OtherShares(PathBuf),
    /// It is something else.
    #[error("{}: it is no file of shares", .0.display())]
    NotShares(PathBuf),
    /// It is of a later version.
    #[error("{}: its format is version {version}, this program reads version 1", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u8,
    },
    /// It ends too early, or too late.
    #[error("{}: it has {found} bytes, and says that it has {expected}: bring back a copy", path.display())]
    Torn {
        /// Which file.
        path: PathBuf,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// Its checksum is another.
    #[error("{}: it is damaged, its checksum doesn't hold: bring back a copy", .0.display())]
    Damaged(PathBuf),
    /// The key can't be unwrapped.
    #[error("{}: the passphrase is wrong (or somebody has changed the file's header)", .0.display())]
    WrongPassphrase(PathBuf),
    /// The passphrase is right, and what it opens isn't.
    #[error("{}: somebody has changed it: bring back a copy", .0.display())]
    Altered(PathBuf),
    /// Its parts don't fit together.
    #[error("the shares don't fit together: {0}")]
    Inconsistent(&'static str),
    /// The passphrase would cost too much to try.
    #[error("{}: it asks for more than 1 GiB of memory, 10 passes or 4 lanes, or too little, to try a passphrase", .0.display())]
    Cost(PathBuf),
    /// There is no memory, or no randomness.
    #[error("the system gives no {0}")]
    System(&'static str),
}
