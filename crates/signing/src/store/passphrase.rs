//! A passphrase: from a file or the terminal, never from arguments.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, Stat},
    io::Errno,
    termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
};
use zeroize::Zeroizing;

use super::files::us;

/// The most bytes of a passphrase.
const MAX_BYTES: usize = 1024;

/// A passphrase. Shown nowhere, wiped in the end.
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// The system refuses.
    #[error("{}: the passphrase can't be read", path.display())]
    Io {
        /// From where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a link to a link, a folder or a device.
    #[error("{}: it is neither a plain file, nor a link to one", .0.display())]
    NotPlain(PathBuf),
    /// Somebody else's.
    #[error("{}: it belongs to user {owner}, who is neither us ({us}) nor root: chown it", path.display())]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others may read it.
    #[error("{}: others have access to it (mode {mode:03o}): chmod 600 it", path.display())]
    Access {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
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
        let io = |source: io::Error| PassphraseError::Io { path: path.into(), source };
        let open = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty()).map(File::from)
        };
        let file = match open(path) {
            Err(Errno::LOOP | Errno::MLINK) => {
                let target = std::fs::read_link(path).map_err(io)?;
                let target = path.parent().unwrap_or(Path::new("")).join(target);
                open(&target)
            }
            other => other,
        };
        let file = match file {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::MLINK) => return Err(PassphraseError::NotPlain(path.into())),
            Err(errno) => return Err(io(errno.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| io(errno.into()))?;
        let groups = rustix::process::getgroups().map_err(|errno| io(errno.into()))?;
        let own_group = stat.st_gid == rustix::process::getegid().as_raw()
            || groups.iter().any(|group| group.as_raw() == stat.st_gid);
        judge(&stat, us(), own_group, path)?;
        // One byte more, so that what is too long shows; and a line's end.
        let mut bytes = Zeroizing::new(vec![0; MAX_BYTES + 3]);
        let mut length = 0;
        let mut file = file;
        while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read(rest).map_err(io)? {
                0 => break,
                read => length += read,
            }
        }
        bytes.truncate(length);
        Self::line(bytes, path)
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

/// Whether others could have read the file.
fn judge(stat: &Stat, us: u32, own_group: bool, path: &Path) -> Result<(), PassphraseError> {
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(PassphraseError::NotPlain(path.into()));
    }
    if stat.st_uid != us && stat.st_uid != 0 {
        return Err(PassphraseError::Owner { path: path.into(), owner: stat.st_uid, us });
    }
    let allowed = if own_group { 0o770 } else { 0o700 };
    if mode & 0o777 & !allowed != 0 {
        return Err(PassphraseError::Access { path: path.into(), mode });
    }
    Ok(())
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

    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

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
    fn one_link_is_followed_and_no_second() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "real", b"secret", 0o600);
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        symlink("real", &one).unwrap();
        symlink("one", &two).unwrap();
        assert!(Passphrase::from_file(&one).is_ok());
        assert!(matches!(Passphrase::from_file(&two), Err(PassphraseError::NotPlain(_))));
        assert!(matches!(Passphrase::from_file(folder.path()), Err(PassphraseError::NotPlain(_))));
    }

    #[test]
    fn others_must_not_read_it_but_an_own_group_may() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o440, true), (0o604, false), (0o601, false)] {
            let path = file(folder.path(), "p", b"secret", mode);
            let read = Passphrase::from_file(&path);
            assert_eq!(read.is_ok(), good, "{mode:o}");
            assert!(good || matches!(read, Err(PassphraseError::Access { .. })));
        }
        let path = file(folder.path(), "p", b"secret", 0o440);
        let stat = rustix::fs::stat(&path).unwrap();
        assert!(judge(&stat, stat.st_uid, true, &path).is_ok());
        assert!(matches!(judge(&stat, stat.st_uid, false, &path), Err(PassphraseError::Access { .. })));
        if stat.st_uid == 0 {
            assert!(judge(&stat, 1000, true, &path).is_ok(), "root's may be read, as mounted secrets are");
            std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
            assert!(matches!(
                Passphrase::from_file(&path),
                Err(PassphraseError::Owner { owner: 1000, us: 0, .. })
            ));
        }
    }
}
