//! A passphrase: from a file or the terminal, never from arguments.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use coxswain_secrets::SecretError;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The most bytes of a passphrase.
const MAX_BYTES: usize = 1024;

/// A passphrase. Shown nowhere, wiped in the end.
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// There is no terminal.
    #[error("{}: the passphrase can't be read", path.display())]
    Io {
        /// From where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its file can't be read, or others can read it as well.
    #[error(transparent)]
    File(#[from] SecretError),
    /// There is nothing in it, or far too much.
    #[error("{}: the passphrase is empty, or longer than 1024 bytes", .0.display())]
    Length(PathBuf),
    /// It was typed differently the second time.
    #[error("the two passphrases differ")]
    Differ,
}

impl Passphrase {
    /// These bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What a file holds, without the line's end. The file may be reached by one link, and be root's, as mounted secrets are.
    ///
    /// # Errors
    /// If it can't be read, or others can.
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        // A line's end more.
        Self::line(coxswain_secrets::read(path, MAX_BYTES + 2)?, path)
    }

    /// What somebody types, unseen. `twice` for a new one.
    ///
    /// # Errors
    /// If there is no terminal, or what is typed the second time differs.
    pub fn from_terminal(prompt: &str, twice: bool) -> Result<Self, PassphraseError> {
        let path = Path::new("/dev/tty");
        let first = ask(path, prompt)?;
        if twice && ask(path, "Again: ")?.0 != first.0 {
            return Err(PassphraseError::Differ);
        }
        Ok(first)
    }

    fn line(mut bytes: Zeroizing<Vec<u8>>, path: &Path) -> Result<Self, PassphraseError> {
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        if bytes.is_empty() || bytes.len() > MAX_BYTES {
            return Err(PassphraseError::Length(path.into()));
        }
        Ok(Self(bytes))
    }
}

fn ask(path: &Path, prompt: &str) -> Result<Passphrase, PassphraseError> {
    let io = |source: io::Error| PassphraseError::Io { path: path.into(), source };
    let mut terminal = File::options().read(true).write(true).open(path).map_err(io)?;
    let before = tcgetattr(&terminal).map_err(|errno| io(errno.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    terminal.write_all(prompt.as_bytes()).map_err(io)?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|errno| io(errno.into()))?;
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    let bound = u64::try_from(MAX_BYTES + 2).expect("it is small");
    let read = BufReader::new(&terminal).take(bound).read_until(b'\n', &mut line);
    tcsetattr(&terminal, OptionalActions::Flush, &before).map_err(|errno| io(errno.into()))?;
    terminal.write_all(b"\n").map_err(io)?;
    read.map_err(io)?;
    Passphrase::line(line, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn file(folder: &Path, name: &str, text: &[u8], mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn it_is_a_files_first_line_without_its_end() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in
            [(&b"secret\n"[..], &b"secret"[..]), (b"secret\r\n", b"secret"), (b" a b ", b" a b ")]
        {
            let path = file(folder.path(), "p", text, 0o600);
            assert_eq!(
                Passphrase::from_file(&path).unwrap_or_else(|error| panic!("{error}")).bytes(),
                expected
            );
        }
        for text in [vec![], b"\n".to_vec(), vec![b'x'; 1025]] {
            let path = file(folder.path(), "p", &text, 0o600);
            assert!(matches!(Passphrase::from_file(&path), Err(PassphraseError::Length(_))));
        }
        let path = file(folder.path(), "p", &[b'x'; 1024], 0o600);
        assert!(Passphrase::from_file(&path).is_ok());
    }

    #[test]
    fn others_must_not_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let read = |mode| Passphrase::from_file(&file(folder.path(), "p", b"secret", mode));
        assert!(matches!(read(0o604).err(), Some(PassphraseError::File(SecretError::Access { .. }))));
        assert!(read(0o400).is_ok());
    }
}
