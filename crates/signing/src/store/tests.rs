//! What is refused, and how clearly.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    process::Command,
};

use bitcoin::secp256k1::{Scalar, Secp256k1, SecretKey};
use tempfile::TempDir;

use super::*;

pub(super) const CHEAP: Cost = Cost { kib: 8, passes: 1, lanes: 1 };
/// What the test that runs this one again in a process of its own tells it.
const CHILD: &str = "COXSWAIN_TEST_SHARE_FILE";

/// Seats 1 and 3 of 2 of 3: the secret's line goes through them.
pub(super) fn shares(secret: u8) -> Shares {
    let number = |byte: u8| SecretKey::from_slice(&[byte; 32]).unwrap();
    let secp = Secp256k1::new();
    let slope = Scalar::from(number(9));
    let mut scalars = vec![number(secret)];
    for _ in 1..=3 {
        scalars.push(scalars.last().unwrap().add_tweak(&slope).unwrap());
    }
    let points: Vec<_> = scalars.iter().map(|scalar| scalar.public_key(&secp)).collect();
    let seats: Vec<Seat> = [1_u64, 3].map(|seat| Seat::try_from(seat).unwrap()).to_vec();
    let info = ShareInfo {
        scheme: "test 1".to_owned(),
        chain_id: 31337,
        wallet_key: points[0],
        group_size: 3,
        threshold: 2,
        seats: seats.clone(),
        dealt: true,
    };
    let own = seats.iter().map(|seat| Zeroizing::new(scalars[usize::from(seat.number())].secret_bytes()));
    let core = Core::new(seats.clone(), own.collect(), points[1..].to_vec());
    Shares::new(info, core, Zeroizing::new(vec![0x5a; 300])).unwrap()
}

pub(super) fn passphrase() -> Passphrase {
    Passphrase::new(b"correct horse")
}

fn saved() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = shares(7).save(folder.path(), &passphrase(), CHEAP).unwrap();
    (folder, path)
}

fn refused(path: &Path) -> ShareError {
    ShareFile::open(path, &passphrase()).err().expect("it must be refused")
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Put in the place of the file, as somebody does who can.
fn put(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    permit(path, 0o600);
}

#[test]
fn what_is_saved_is_opened() {
    let (folder, path) = saved();
    assert_eq!(path, folder.path().join(shares(7).info().file_name()));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let file = ShareFile::open(&path, &passphrase()).unwrap_or_else(|error| panic!("{error}"));
    let (read, written) = (file.shares(), shares(7));
    assert_eq!(read.info(), written.info());
    assert!(read.core().scalars().eq(written.core().scalars()));
    assert_eq!(read.core().verifying(), written.core().verifying());
    assert_eq!(read.pairs(), written.pairs());
    let inspected = inspect(&path).unwrap();
    assert_eq!((&inspected.info, inspected.cost), (written.info(), CHEAP));
    // Opened shares are in no core dump.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the file and its lock");
}

#[test]
fn nothing_secret_stands_in_the_file() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    for (_, scalar) in shares(7).core().scalars() {
        assert!(!holds(&scalar[..8]));
    }
    assert!(!holds(&[0x5a; 8]));
    assert!(!holds(b"correct"));
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    let (_folder, path) = saved();
    let error = ShareFile::open(&path, &Passphrase::new(b"correct horsf")).err().unwrap();
    assert!(matches!(&error, ShareError::WrongPassphrase(_)), "{error}");
    assert!(error.to_string().contains("passphrase is wrong"));
}

#[test]
fn a_file_torn_at_any_length_is_refused() {
    let (_folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        let error = format::parse(&whole[..length], &path).unwrap_err();
        assert!(matches!(error, ShareError::Torn { found, .. } if found == length), "{length}: {error}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(format::parse(&longer, &path), Err(ShareError::Torn { .. })));
    for length in [0, 1, 50, whole.len() - 1] {
        put(&path, &whole[..length]);
        assert!(matches!(refused(&path), ShareError::Torn { .. }));
        assert!(inspect(&path).is_err());
    }
}

#[test]
fn one_flipped_bit_anywhere_is_refused() {
    let (_folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let error = format::parse(&bytes, &path).err();
            let clear = matches!(
                error,
                Some(
                    ShareError::Damaged(_)
                        | ShareError::Torn { .. }
                        | ShareError::NotShares(_)
                        | ShareError::Version { .. }
                )
            );
            assert!(clear, "byte {at}, bit {bit}: {error:?}");
        }
    }
}

/// Somebody who makes the checksum anew doesn't get by the authentication: header, key, core and pairs.
#[test]
fn what_somebody_has_changed_with_its_checksum_is_refused() {
    let (_folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() - 32 {
        let mut bytes = whole[..whole.len() - 32].to_vec();
        bytes[at] ^= 1;
        format::finish(&mut bytes);
        let Ok(parts) = format::parse(&bytes, &path) else { continue };
        // Argon2's parameters are judged before they cost anything.
        let error = crypt::open(&parts, &passphrase(), &path).err();
        let clear = matches!(
            error,
            Some(ShareError::WrongPassphrase(_) | ShareError::Altered(_) | ShareError::Cost(_))
        );
        assert!(clear, "byte {at}: {error:?}");
    }
}

#[test]
fn a_passphrase_that_costs_too_much_is_not_tried() {
    let within = |kib, passes, lanes| Cost { kib, passes, lanes }.params().is_some();
    assert!(within(1 << 20, 10, 4));
    assert!(!within((1 << 20) + 1, 10, 4));
    assert!(!within(1 << 20, 11, 4));
    assert!(!within(1 << 20, 10, 5));
    assert!(!within(7, 1, 1), "less than what Argon2 takes");
    assert!(!within(8, 0, 1));
    let (_folder, path) = saved();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(12).position(|window| window == [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]).unwrap();
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    bytes.truncate(bytes.len() - 32);
    format::finish(&mut bytes);
    put(&path, &bytes);
    assert!(matches!(refused(&path), ShareError::Cost(_)));
}

#[test]
fn others_must_have_no_access() {
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777] {
        let (_folder, path) = saved();
        permit(&path, mode);
        let error = refused(&path);
        assert!(matches!(error, ShareError::Exposed { exposure: Exposure::Access { .. }, .. }), "{mode:o}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(inspect(&path).is_err());
    }
    for mode in [0o600, 0o400, 0o700] {
        let (_folder, path) = saved();
        permit(&path, mode);
        assert!(ShareFile::open(&path, &passphrase()).is_ok(), "{mode:o}");
    }
}

#[test]
fn others_must_not_write_the_folder() {
    for mode in [0o770, 0o707, 0o1777] {
        let (folder, path) = saved();
        permit(folder.path(), mode);
        let error = refused(&path);
        assert!(matches!(error, ShareError::Exposed { exposure: Exposure::Folder { .. }, .. }), "{mode:o}");
        assert!(error.to_string().contains("chmod 700"), "{error}");
        assert!(shares(8).save(folder.path(), &passphrase(), CHEAP).is_err());
    }
    let (folder, path) = saved();
    permit(folder.path(), 0o755);
    assert!(ShareFile::open(&path, &passphrase()).is_ok(), "they may read it");
}

#[test]
fn a_link_is_not_followed() {
    let (folder, path) = saved();
    let real = folder.path().join("real");
    fs::rename(&path, &real).unwrap();
    symlink(&real, &path).unwrap();
    assert!(matches!(refused(&path), ShareError::Exposed { exposure: Exposure::Link, .. }));
    assert!(inspect(&path).is_err());
    assert!(shares(7).save(folder.path(), &passphrase(), CHEAP).is_err(), "nor written through");

    let (folder, path) = saved();
    let lock = folder.path().join(format!("{}.lock", shares(7).info().file_name()));
    fs::remove_file(&lock).unwrap();
    symlink("/dev/null", &lock).unwrap();
    assert!(matches!(refused(&path), ShareError::Exposed { exposure: Exposure::Link, .. }));
}

#[test]
fn a_folder_or_a_pipe_is_no_file() {
    let (_folder, path) = saved();
    fs::remove_file(&path).unwrap();
    assert!(matches!(refused(&path), ShareError::Missing(_)));
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path), ShareError::Exposed { exposure: Exposure::NotPlain, .. }));
    fs::remove_dir(&path).unwrap();
    assert!(Command::new("mkfifo").arg("-m").arg("600").arg(&path).status().unwrap().success());
    assert!(matches!(refused(&path), ShareError::Exposed { exposure: Exposure::NotPlain, .. }));
}

/// Only root can give a file away; whoever else runs this has root's files to try.
#[test]
fn anothers_file_or_folder_is_refused() {
    let (folder, path) = saved();
    if files::us() == 0 {
        chown(&path, Some(1000), Some(1000)).unwrap();
        let error = refused(&path);
        let owner = Exposure::Owner { owner: 1000, us: 0 };
        assert!(matches!(&error, ShareError::Exposed { exposure, .. } if *exposure == owner), "{error}");
        assert!(error.to_string().contains("chown"));
        chown(&path, Some(0), Some(0)).unwrap();
        chown(folder.path(), Some(1000), Some(1000)).unwrap();
        assert!(matches!(refused(&path), ShareError::Exposed { exposure, .. } if exposure == owner));
    } else {
        let root = Path::new("/etc/passwd");
        assert!(matches!(refused(root), ShareError::Exposed { exposure: Exposure::Owner { .. }, .. }));
    }
}

#[test]
fn something_else_is_refused_and_left_alone() {
    let (folder, path) = saved();
    put(&path, b"a letter");
    assert!(matches!(refused(&path), ShareError::NotShares(_)));
    assert!(shares(7).save(folder.path(), &passphrase(), CHEAP).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"a letter");
    // Another wallet's shares under this wallet's name.
    let (other, others) = saved();
    let bytes = fs::read(&others).unwrap();
    let target = other.path().join(shares(8).info().file_name());
    put(&target, &bytes);
    let error = shares(8).save(other.path(), &passphrase(), CHEAP).unwrap_err();
    assert!(matches!(error, ShareError::OtherShares(_)), "{error}");
    assert_eq!(fs::read(&target).unwrap(), bytes);
}

#[test]
fn the_one_before_is_kept() {
    let (folder, path) = saved();
    let first = fs::read(&path).unwrap();
    let previous = folder.path().join(format!("{}.previous", shares(7).info().file_name()));
    assert!(!previous.exists());
    shares(7).save(folder.path(), &passphrase(), CHEAP).unwrap();
    let second = fs::read(&path).unwrap();
    assert_ne!(first, second, "another salt, another key");
    assert_eq!(fs::read(&previous).unwrap(), first);
    shares(7).save(folder.path(), &passphrase(), CHEAP).unwrap();
    assert_eq!(fs::read(&previous).unwrap(), second);
    assert!(ShareFile::open(&previous, &passphrase()).is_ok());
}

#[test]
fn a_second_opener_waits_for_nothing_and_is_refused() {
    let (folder, path) = saved();
    let first = ShareFile::open(&path, &passphrase());
    assert!(first.is_ok());
    assert!(matches!(refused(&path), ShareError::InUse(_)));
    let again = shares(7).save(folder.path(), &passphrase(), CHEAP);
    assert!(matches!(again, Err(ShareError::InUse(_))), "nor replaced under it");
    assert!(inspect(&path).is_ok(), "it may be looked at");
    drop(first);
    assert!(ShareFile::open(&path, &passphrase()).is_ok());
}

/// Runs itself again as a process of its own, while this one holds the file, and when it doesn't any more.
#[test]
fn a_second_process_is_refused() {
    if let Ok(path) = std::env::var(CHILD) {
        let in_use = matches!(ShareFile::open(Path::new(&path), &passphrase()), Err(ShareError::InUse(_)));
        std::process::exit(if in_use { 42 } else { 43 });
    }
    let (_folder, path) = saved();
    let code = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let name = "store::tests::a_second_process_is_refused";
        child.args([name, "--exact"]).env(CHILD, &path).stdout(std::process::Stdio::null());
        child.status().unwrap().code()
    };
    let file = ShareFile::open(&path, &passphrase());
    assert!(file.is_ok());
    assert_eq!(code(), Some(42));
    drop(file);
    assert_eq!(code(), Some(43));
}

#[test]
fn shares_that_do_not_fit_together_are_refused() {
    let good = shares(7);
    type Change<'a> = &'a dyn Fn(&mut ShareInfo, &mut Vec<Zeroizing<[u8; 32]>>, &mut Vec<PublicKey>);
    let rebuilt = |change: Change<'_>| {
        let mut info = good.info().clone();
        let mut scalars: Vec<_> = good.core().scalars().map(|(_, scalar)| scalar.clone()).collect();
        let mut verifying = good.core().verifying().to_vec();
        change(&mut info, &mut scalars, &mut verifying);
        let core = Core::new(info.seats.clone(), scalars, verifying);
        Shares::new(info, core, Zeroizing::new(Vec::new()))
    };
    assert!(rebuilt(&|_, _, _| ()).is_ok());
    let refused = [
        rebuilt(&|_, scalars, _| scalars.swap(0, 1)),
        rebuilt(&|_, scalars, _| *scalars[0] = [0; 32]),
        rebuilt(&|_, scalars, _| scalars.truncate(1)),
        rebuilt(&|_, _, verifying| verifying.swap(0, 1)),
        rebuilt(&|_, _, verifying| verifying[1] = verifying[0]),
        rebuilt(&|info, _, verifying| info.wallet_key = verifying[0]),
        rebuilt(&|info, _, _| info.threshold = 3),
        rebuilt(&|info, _, _| info.threshold = 1),
        rebuilt(&|info, _, _| info.group_size = 4),
        rebuilt(&|info, _, _| info.seats.reverse()),
        rebuilt(&|info, _, _| info.scheme.clear()),
    ];
    for (case, outcome) in refused.into_iter().enumerate() {
        assert!(matches!(outcome, Err(ShareError::Inconsistent(_))), "case {case}");
    }
}
