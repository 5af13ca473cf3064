//! Who has access to a file: by its owner, its mode, and its access control list.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{FileType, Mode, OFlags, Stat},
    io::Errno,
};

use crate::SecretError;

/// Who we are.
struct Us {
    user: u32,
    groups: Vec<u32>,
}

impl Us {
    fn new() -> Result<Self, Errno> {
        let mut groups: Vec<_> =
            rustix::process::getgroups()?.into_iter().map(rustix::process::Gid::as_raw).collect();
        groups.push(rustix::process::getegid().as_raw());
        Ok(Self { user: rustix::process::geteuid().as_raw(), groups })
    }

    fn is_in(&self, group: u32) -> bool {
        self.groups.contains(&group)
    }
}

pub(crate) fn open(path: &Path) -> Result<File, SecretError> {
    let io = |source: io::Error| SecretError::Io { path: path.into(), source };
    let open = |path: &Path| {
        // A pipe would let us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(File::from)
    };
    let file = match open(path) {
        Err(Errno::LOOP | Errno::MLINK) => {
            let target = std::fs::read_link(path).map_err(io)?;
            open(&path.parent().unwrap_or(Path::new("")).join(target))
        }
        other => other,
    };
    let file = match file {
        Ok(file) => file,
        Err(Errno::LOOP | Errno::MLINK) => return Err(SecretError::NotPlain(path.into())),
        Err(errno) => return Err(io(errno.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| io(errno.into()))?;
    let us = Us::new().map_err(|errno| io(errno.into()))?;
    let list = access_list(&file).map_err(io)?;
    judge(&stat, list.as_deref(), &us, path)?;
    Ok(file)
}

/// Whether others have access to the file.
fn judge(stat: &Stat, list: Option<&[Entry]>, us: &Us, path: &Path) -> Result<(), SecretError> {
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(SecretError::NotPlain(path.into()));
    }
    if stat.st_uid != us.user && stat.st_uid != 0 {
        return Err(SecretError::Owner { path: path.into(), owner: stat.st_uid, us: us.user });
    }
    let access = || SecretError::Access { path: path.into(), mode };
    if mode & 0o007 != 0 {
        return Err(access());
    }
    match list {
        None if mode & 0o070 != 0 && !us.is_in(stat.st_gid) => Err(access()),
        None => Ok(()),
        // With a list, the group's bits of the mode are the most that the list may give to anybody.
        Some(list) => {
            let most = mode >> 3 & 0o7;
            let allowed = |entry: &Entry| match *entry {
                _ if entry.permissions() & most == 0 => true,
                Entry::User { id, .. } => id == us.user || id == 0,
                Entry::OwnGroup { .. } => us.is_in(stat.st_gid),
                Entry::Group { id, .. } => us.is_in(id),
            };
            if list.iter().all(allowed) { Ok(()) } else { Err(SecretError::Listed(path.into())) }
        }
    }
}

/// To whom an access control list gives something, beside the owner and all others, who stand in the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A user.
    User { id: u32, permissions: u32 },
    /// The file's group.
    OwnGroup { permissions: u32 },
    /// Another group.
    Group { id: u32, permissions: u32 },
}

impl Entry {
    const fn permissions(&self) -> u32 {
        match *self {
            Self::User { permissions, .. }
            | Self::OwnGroup { permissions }
            | Self::Group { permissions, .. } => permissions,
        }
    }
}

/// The file's access control list, if it has one. It is how service managers let a service read what is root's.
#[cfg(target_os = "linux")]
fn access_list(file: &File) -> io::Result<Option<Vec<Entry>>> {
    /// More than any list has that is meant.
    const MAX_BYTES: usize = 4096;
    let mut bytes = vec![0; MAX_BYTES];
    match rustix::fs::fgetxattr(file, c"system.posix_acl_access", &mut bytes[..]) {
        Ok(length) => {
            let list = bytes.get(..length).and_then(entries);
            list.map(Some).ok_or_else(|| io::Error::other("its access control list can't be read"))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Elsewhere the mode says all.
#[cfg(not(target_os = "linux"))]
fn access_list(_: &File) -> io::Result<Option<Vec<Entry>>> {
    Ok(None)
}

/// The entries of a list as the kernel writes it: a version, then tag, permissions and id of each.
#[cfg(target_os = "linux")]
fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    const VERSION: [u8; 4] = 2_u32.to_le_bytes();
    let (entries, rest) = bytes.strip_prefix(&VERSION)?.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    let mut read = Vec::new();
    for [a, b, c, d, id @ ..] in entries {
        let permissions = u32::from(u16::from_le_bytes([*c, *d]));
        let id = u32::from_le_bytes(*id);
        match u16::from_le_bytes([*a, *b]) {
            0x02 => read.push(Entry::User { id, permissions }),
            0x04 => read.push(Entry::OwnGroup { permissions }),
            0x08 => read.push(Entry::Group { id, permissions }),
            // The owner, the mask and all others stand in the mode.
            0x01 | 0x10 | 0x20 => {}
            _ => return None,
        }
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::{
        fs,
        os::unix::fs::{PermissionsExt, chown, symlink},
        path::PathBuf,
        process::Command,
    };

    use super::*;
    use crate::read;

    fn file(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn us(user: u32, groups: &[u32]) -> Us {
        Us { user, groups: groups.to_vec() }
    }

    #[test]
    fn one_link_is_followed_and_no_second() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "real", 0o600);
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        symlink("real", &one).unwrap();
        symlink("one", &two).unwrap();
        assert_eq!(&read(&one, 6).unwrap()[..], b"secret");
        assert!(matches!(read(&two, 6), Err(SecretError::NotPlain(_))));
        // As mounted secrets are: the folder is a link as well.
        fs::create_dir(folder.path().join("..1")).unwrap();
        file(&folder.path().join("..1"), "password", 0o400);
        symlink("..1", folder.path().join("..data")).unwrap();
        symlink("..data/password", folder.path().join("password")).unwrap();
        assert!(read(&folder.path().join("password"), 6).is_ok());
    }

    #[test]
    fn what_is_no_plain_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path(), 6), Err(SecretError::NotPlain(_))));
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg("-m").arg("600").arg(&pipe).status().unwrap().success());
        assert!(matches!(read(&pipe, 6), Err(SecretError::NotPlain(_))));
        let none = read(&folder.path().join("none"), 6).unwrap_err();
        assert!(matches!(none, SecretError::Io { .. }));
        assert!(none.to_string().contains("none: it can't be read"), "{none}");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "secret", 0o600);
        assert!(matches!(read(&path, 5), Err(SecretError::TooLong { most: 5, .. })));
        assert_eq!(&read(&path, 6).unwrap()[..], b"secret");
    }

    #[test]
    fn others_must_have_no_access_and_of_groups_only_our_own() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, is_good) in
            [(0o600, true), (0o400, true), (0o440, true), (0o604, false), (0o602, false), (0o601, false)]
        {
            let read = read(&file(folder.path(), "secret", mode), 6);
            assert_eq!(read.is_ok(), is_good, "{mode:o}");
            assert!(is_good || matches!(read, Err(SecretError::Access { mode: found, .. }) if found == mode));
        }
        let path = file(folder.path(), "secret", 0o440);
        let stat = rustix::fs::stat(&path).unwrap();
        let other = stat.st_gid + 1;
        assert!(judge(&stat, None, &us(stat.st_uid, &[other, stat.st_gid]), &path).is_ok());
        let refused = judge(&stat, None, &us(stat.st_uid, &[other]), &path).unwrap_err();
        assert!(matches!(refused, SecretError::Access { mode: 0o440, .. }));
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }

    #[test]
    fn it_is_ours_or_roots() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "secret", 0o400);
        let mut stat = rustix::fs::stat(&path).unwrap();
        for (owner, is_good) in [(1000, true), (0, true), (1001, false)] {
            stat.st_uid = owner;
            let judged = judge(&stat, None, &us(1000, &[1000]), &path);
            assert_eq!(judged.is_ok(), is_good, "{owner}");
        }
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(1000), None).unwrap();
            let refused = read(&path, 6).unwrap_err();
            assert!(matches!(refused, SecretError::Owner { owner: 1000, us: 0, .. }));
            assert!(refused.to_string().contains("chown"), "{refused}");
        }
    }

    /// A list for a user and two groups, beside what the mode says.
    #[cfg(target_os = "linux")]
    fn list(user: (u32, u16), own_group: u16, group: (u32, u16), mask: u16) -> Vec<u8> {
        let none = u32::MAX;
        let entries = [
            (0x01_u16, 4, none),
            (0x02, user.1, user.0),
            (0x04, own_group, none),
            (0x08, group.1, group.0),
            (0x10, mask, none),
            (0x20, 0, none),
        ];
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(u16::to_le_bytes(permissions));
            bytes.extend(u32::to_le_bytes(id));
        }
        bytes
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_list_may_name_us_and_root_and_our_groups_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "secret", 0o440);
        let mut stat = rustix::fs::stat(&path).unwrap();
        (stat.st_uid, stat.st_gid) = (0, 0);
        let us = us(1000, &[1000]);
        let judged = |bytes: &[u8]| judge(&stat, Some(&entries(bytes).unwrap()), &us, &path);
        // As service managers hand root's files over.
        assert!(judged(&list((1000, 4), 0, (0, 0), 4)).is_ok());
        assert!(judged(&list((0, 4), 0, (1000, 4), 4)).is_ok());
        assert!(matches!(judged(&list((1001, 4), 0, (0, 0), 4)), Err(SecretError::Listed(_))));
        assert!(matches!(judged(&list((1000, 4), 4, (0, 0), 4)), Err(SecretError::Listed(_))));
        assert!(matches!(judged(&list((1000, 4), 0, (1001, 4), 4)), Err(SecretError::Listed(_))));
        // What the mode takes away is not given.
        stat.st_mode &= !0o070;
        let entries = entries(&list((1001, 4), 4, (1001, 4), 0)).unwrap();
        assert!(judge(&stat, Some(&entries), &us, &path).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_list_that_is_not_understood_is_not_passed_over() {
        let whole = list((1000, 4), 0, (0, 0), 4);
        assert_eq!(entries(&whole).unwrap().len(), 3);
        for length in (0..whole.len()).filter(|length| length % 8 != 4) {
            assert_eq!(entries(&whole[..length]), None, "{length}");
        }
        let mut other = whole.clone();
        other[0] = 3;
        assert_eq!(entries(&other), None);
        other = whole;
        other[4] = 0x40;
        assert_eq!(entries(&other), None);
    }

    /// The list as the system keeps it, where the file system has any.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_systems_list_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "secret", 0o400);
        let ours = rustix::process::geteuid().as_raw();
        for (user, is_good) in [(ours, true), (ours + 1, false)] {
            let bytes = list((user, 4), 0, (ours + 2, 0), 4);
            let flags = rustix::fs::XattrFlags::empty();
            match rustix::fs::setxattr(&path, c"system.posix_acl_access", &bytes, flags) {
                Ok(()) => assert_eq!(read(&path, 6).is_ok(), is_good, "{user}"),
                Err(Errno::NOTSUP) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
