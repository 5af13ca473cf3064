//! Ports for servers of a test's own.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Lower than those that systems give to clients: one of them would take a port between its choice and its use.
const FIRST: u16 = 16_384;
const COUNT: u32 = 16_384;
/// How far apart processes that were started one after the other begin.
const APART: u32 = 1_009;

/// A port of this machine that is free, and that this process has for nobody else.
///
/// # Errors
/// When none is.
pub fn free_port() -> io::Result<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let begin = process::id().wrapping_mul(APART);
    for _ in 0..COUNT {
        let offset = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(offset).map_or(FIRST, |offset| FIRST + offset);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_to_no_client() {
        let ports: Vec<_> = (0..100).map(|_| free_port().unwrap()).collect();
        assert!(ports.iter().all(|port| (FIRST..2 * FIRST).contains(port)));
        let different: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(different.len(), ports.len());
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[99] + 1));
        let next = free_port().unwrap();
        assert!(taken.is_err() || next != ports[99] + 1);
    }
}
