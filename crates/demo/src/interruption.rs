//! An end on Ctrl-C and on the signals that ask a program to end, which leaves no process and no file behind.

use std::io;

/// What came of work that may be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<T> {
    /// It was done.
    Done(T),
    /// The process was told to end, by the signal with this number.
    Told(u8),
}

/// Runs the work until it is done, or until the process is told to end. Either way, what the work holds has been dropped, with the
/// processes and files that end with it, when this returns.
///
/// # Errors
/// If signals can't be listened for.
pub async fn until_told<T>(work: impl Future<Output = T>) -> io::Result<Ended<T>> {
    let told = told()?;
    tokio::select! {
        done = work => Ok(Ended::Done(done)),
        signal = told => Ok(Ended::Told(signal)),
    }
}

/// Waits for a signal; from now on, none of them ends the process by itself.
#[cfg(unix)]
fn told() -> io::Result<impl Future<Output = u8>> {
    use tokio::signal::unix::{SignalKind, signal};

    const HANG_UP: u8 = 1;
    const INTERRUPT: u8 = 2;
    const TERMINATE: u8 = 15;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = hang_up.recv() => HANG_UP,
            _ = interrupt.recv() => INTERRUPT,
            _ = terminate.recv() => TERMINATE,
        }
    })
}

#[cfg(not(unix))]
fn told() -> io::Result<impl Future<Output = u8>> {
    const INTERRUPT: u8 = 2;
    Ok(async {
        // If Ctrl-C can't be listened for, it ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPT
    })
}
