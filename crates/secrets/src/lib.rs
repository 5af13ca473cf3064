//! Files that hold secrets, as keystores and passwords: opened only if nobody else can read them.
//!
//! Such a file must belong to us or to root, since mounted secrets are root's; others must have no access, and of groups only our
//! own. A link is followed once, since mounted secrets are links. The file is judged by its open handle, so that it can't be
//! exchanged in between.
//!
//! ```
//! # #[cfg(unix)] {
//! use std::{fs, os::unix::fs::PermissionsExt};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let file = folder.path().join("password");
//! fs::write(&file, "correct horse").unwrap();
//! fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
//! let refused = coxswain_secrets::read(&file, 100).unwrap_err();
//! assert!(refused.to_string().ends_with("others have access to it (mode 644): chmod 600 it"));
//! fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
//! assert_eq!(&coxswain_secrets::read(&file, 100).unwrap()[..], b"correct horse");
//! # }
//! ```

#[cfg(unix)]
mod access;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Why a file that holds a secret is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The system refuses.
    #[error("{}: it can't be read", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a link to a link, a folder or a device.
    #[error("{}: it is neither a plain file, nor a link to one", .0.display())]
    NotPlain(PathBuf),
    /// It is somebody else's.
    #[error("{}: it belongs to user {owner}, who is neither us ({us}) nor root: chown it", path.display())]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others have access to it.
    #[error("{}: others have access to it (mode {mode:03o}): chmod 600 it", path.display())]
    Access {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Its access control list gives others access.
    #[error("{}: its access control list names others: setfacl --remove-all it, and chmod 600 it", .0.display())]
    Listed(PathBuf),
    /// It is far too long.
    #[error("{}: it is longer than {most} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// What it may have at most.
        most: usize,
    },
}

/// Opens a file that holds a secret, for reading.
///
/// # Errors
/// If it can't be opened, or others can read or write it.
pub fn open(path: &Path) -> Result<File, SecretError> {
    #[cfg(unix)]
    return access::open(path);
    // There is nothing to judge it by.
    #[cfg(not(unix))]
    File::open(path).map_err(|source| SecretError::Io { path: path.into(), source })
}

/// Returns what a file that holds a secret says.
///
/// # Errors
/// If it can't be read, others can read or write it, or it is longer than `most` bytes.
pub fn read(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut file = open(path)?;
    // One byte more, so that what is too long shows. All of it at once: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(vec![0; most.saturating_add(1)]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(SecretError::Io { path: path.into(), source }),
        }
    }
    if length > most {
        return Err(SecretError::TooLong { path: path.into(), most });
    }
    bytes.truncate(length);
    Ok(bytes)
}
