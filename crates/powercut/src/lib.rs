//! A file system for SQLite that forgets what was not synced. Tests only.
//!
//! It stands before the real one, hands all on, and keeps of each file what it held when it was synced last, in a copy beside it.
//! After the program was killed, [`cut`] puts these copies in the files' places: what a power cut leaves if the disk had written
//! nothing of its own accord. A process that is killed alone loses nothing that way, since the system still has what it wrote.
//!
//! Its disk can be full, for as long as a file stands beside the database ([`full`]). It can also lie: say that all is synced, and
//! keep nothing ([`Disk::Lying`]). No program survives that; a test that does not notice it notices nothing.

use std::{
    ffi::{CStr, OsStr, OsString, c_char, c_int, c_void},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use rusqlite::ffi::{
    self, SQLITE_IOERR_FSYNC, SQLITE_OK, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL,
    sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
};

/// Its name among SQLite's file systems.
const NAME: &CStr = c"powercut";
/// The suffixes of a database's files. The file of shared memory is left out: it lasts as long as the processes that share it.
const FILES: [&str; 3] = ["", "-wal", "-journal"];

/// The copy of a file.
fn synced(path: &Path) -> PathBuf {
    with(path, ".synced")
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// What the disk does with what it is told to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It keeps it.
    Honest,
    /// It says so, and keeps nothing.
    Lying,
}

static LIES: AtomicBool = AtomicBool::new(false);

/// While this file is there, nothing can be written to the database: the disk is full.
pub fn full(database: &Path) -> PathBuf {
    with(database, ".full")
}

/// The database that a file belongs to.
fn database(file: &Path) -> PathBuf {
    let name = file.as_os_str().as_bytes();
    let suffix =
        FILES.iter().filter(|suffix| !suffix.is_empty()).find(|suffix| name.ends_with(suffix.as_bytes()));
    let length = name.len().saturating_sub(suffix.map_or(0, |suffix| suffix.len()));
    OsStr::from_bytes(name.get(..length).unwrap_or(name)).into()
}

/// Leaves of a database what was synced, as if the power had been cut. No process may have it open.
///
/// # Errors
/// If a file can't be copied or removed.
pub fn cut(database: &Path) -> io::Result<()> {
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for suffix in FILES {
        let file = with(database, suffix);
        if synced(&file).exists() {
            fs::copy(synced(&file), &file)?;
        } else {
            gone(fs::remove_file(&file))?;
        }
    }
    gone(fs::remove_file(with(database, "-shm")))
}

/// Makes it the file system of all databases that this process opens from now on.
///
/// # Panics
/// If SQLite has none that it could stand before.
pub fn begin(disk: Disk) {
    LIES.store(disk == Disk::Lying, Ordering::SeqCst);
    // SAFETY: both functions may be called at any time. What is registered is never freed, as SQLite asks.
    let registered = unsafe {
        let real = ffi::sqlite3_vfs_find(ptr::null());
        assert!(!real.is_null(), "SQLite has a file system of its own");
        let above = c_int::try_from(size_of::<File>()).expect("a file is small");
        let own = sqlite3_vfs {
            szOsFile: (*real).szOsFile + above,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: real.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            ..*real
        };
        ffi::sqlite3_vfs_register(Box::into_raw(Box::new(own)), 1)
    };
    assert_eq!(registered, SQLITE_OK, "SQLite takes another file system");
}

/// Calls a method of the real file. `None` if it has none.
macro_rules! forward {
    ($file:expr, $method:ident($($argument:expr),*)) => {{
        let behind = real($file);
        (*(*behind).pMethods).$method.map(|method| method(behind, $($argument),*))
    }};
}

/// An open file. The real one lies behind it, in the same allocation, which is SQLite's.
#[repr(C)]
struct File {
    base: sqlite3_file,
    /// Where it is. Null if it is none of a database's own.
    path: *mut PathBuf,
}

/// The real file behind one of ours.
///
/// # Safety
/// The file was opened by [`open`].
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite allocates `szOsFile` bytes, ours and those of the real file behind them; ours are a multiple of 8.
    unsafe { file.cast::<File>().add(1).cast() }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    given: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with a file of `szOsFile` bytes, and our own `vfs`, whose data is the real one. A name of a
    // database's file ends with a zero.
    unsafe {
        let behind: *mut sqlite3_vfs = (*vfs).pAppData.cast();
        let own = file.cast::<File>();
        ptr::write(own, File { base: sqlite3_file { pMethods: ptr::null() }, path: ptr::null_mut() });
        let Some(open) = (*behind).xOpen else { return ffi::SQLITE_CANTOPEN };
        let opened = open(behind, name, real(file), flags, given);
        if !(*real(file)).pMethods.is_null() {
            (*own).base.pMethods = &METHODS;
            let kept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
            if flags & kept != 0 && !name.is_null() {
                (*own).path = Box::into_raw(Box::new(path(name)));
            }
        }
        opened
    }
}

/// # Safety
/// The name ends with a zero.
unsafe fn path(name: *const c_char) -> PathBuf {
    // SAFETY: as above.
    OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()).into()
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite calls this with our own `vfs`, whose data is the real one, and a name that ends with a zero.
    unsafe {
        let behind: *mut sqlite3_vfs = (*vfs).pAppData.cast();
        // That there is none is well.
        let _ = fs::remove_file(synced(&path(name)));
        (*behind).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(behind, name, sync))
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once, and the path was made by `open`.
    unsafe {
        let own = file.cast::<File>();
        if !(*own).path.is_null() {
            drop(Box::from_raw((*own).path));
        }
        forward!(file, xClose()).unwrap_or(ffi::SQLITE_IOERR_CLOSE)
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls this with a file that `open` has opened.
    unsafe {
        let synced_by = forward!(file, xSync(flags)).unwrap_or(SQLITE_IOERR_FSYNC);
        let own = file.cast::<File>();
        if synced_by != SQLITE_OK || (*own).path.is_null() || LIES.load(Ordering::SeqCst) {
            return synced_by;
        }
        // In one step, since this process may be killed here, too.
        let path = &*(*own).path;
        let (copy, new) = (synced(path), with(path, ".syncing"));
        let kept = fs::copy(path, &new).and_then(|_| fs::rename(new, copy));
        if kept.is_ok() { SQLITE_OK } else { SQLITE_IOERR_FSYNC }
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls this with a file that `open` has opened, and with what the real method is to get.
    unsafe {
        let own = file.cast::<File>();
        if !(*own).path.is_null() && full(&database(&*(*own).path)).exists() {
            return ffi::SQLITE_FULL;
        }
        forward!(file, xWrite(from, amount, at)).unwrap_or(ffi::SQLITE_IOERR_WRITE)
    }
}

/// Methods that only hand on.
macro_rules! handed_on {
    ($($name:ident = $method:ident($($argument:ident: $kind:ty),*) -> $result:ty, or $failure:expr;)*) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $kind),*) -> $result {
            // SAFETY: SQLite calls this with a file that `open` has opened, and with what the real method is to get.
            unsafe { forward!(file, $method($($argument),*)).unwrap_or($failure) }
        }
    )*};
}

handed_on! {
    read = xRead(to: *mut c_void, amount: c_int, at: sqlite3_int64) -> c_int, or ffi::SQLITE_IOERR_READ;
    truncate = xTruncate(size: sqlite3_int64) -> c_int, or ffi::SQLITE_IOERR_TRUNCATE;
    file_size = xFileSize(size: *mut sqlite3_int64) -> c_int, or ffi::SQLITE_IOERR_FSTAT;
    lock = xLock(kind: c_int) -> c_int, or ffi::SQLITE_IOERR_LOCK;
    unlock = xUnlock(kind: c_int) -> c_int, or ffi::SQLITE_IOERR_UNLOCK;
    reserved = xCheckReservedLock(out: *mut c_int) -> c_int, or ffi::SQLITE_IOERR_CHECKRESERVEDLOCK;
    control = xFileControl(what: c_int, argument: *mut c_void) -> c_int, or ffi::SQLITE_NOTFOUND;
    sector = xSectorSize() -> c_int, or 4096;
    traits = xDeviceCharacteristics() -> c_int, or 0;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int, or ffi::SQLITE_IOERR_SHMMAP;
    shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int, or ffi::SQLITE_IOERR_SHMLOCK;
    shm_barrier = xShmBarrier() -> (), or ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int, or ffi::SQLITE_OK;
}

/// Of version 2: without memory-mapped pages, which would be written past us.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(traits),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use rusqlite::Connection;

    use super::*;

    static BEGIN: std::sync::Once = std::sync::Once::new();

    /// How many of three rows are left by a power cut, with this setting of `synchronous`.
    fn left(synchronous: &str) -> i64 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let open = |path: &Path| {
            let connection = Connection::open(path).unwrap();
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
            connection.pragma_update(None, "synchronous", synchronous).unwrap();
            connection
        };
        let connection = open(&path);
        connection.execute_batch("CREATE TABLE rows (row INTEGER)").unwrap();
        for row in 1..=3 {
            connection.execute("INSERT INTO rows VALUES (?1)", [row]).unwrap();
        }
        // As of a process that was killed: closing it would sync.
        std::mem::forget(connection);
        cut(&path).unwrap();
        // Of the old place this process remembers what it shared.
        let moved = folder.path().join("b.db");
        for suffix in FILES.into_iter().filter(|suffix| with(&path, suffix).exists()) {
            fs::copy(with(&path, suffix), with(&moved, suffix)).unwrap();
        }
        open(&moved).query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap_or(-1)
    }

    #[test]
    fn what_was_not_synced_is_forgotten() {
        BEGIN.call_once(|| begin(Disk::Honest));
        assert_eq!(left("FULL"), 3);
        assert_eq!(left("OFF"), -1, "not even the table is there");
        LIES.store(true, Ordering::SeqCst);
        assert_eq!(left("FULL"), -1, "its disk has lied");
    }

    #[test]
    fn inc_46_while_the_disk_is_full_nothing_is_written_and_then_all_goes_on() {
        BEGIN.call_once(|| begin(Disk::Honest));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        connection.execute_batch("CREATE TABLE rows (row INTEGER)").unwrap();
        let insert = || connection.execute("INSERT INTO rows VALUES (1)", []);
        fs::write(full(&path), "").unwrap();
        let refused = insert().unwrap_err().sqlite_error_code();
        assert_eq!(refused, Some(rusqlite::ErrorCode::DiskFull));
        fs::remove_file(full(&path)).unwrap();
        assert_eq!(insert().unwrap(), 1);
    }
}
