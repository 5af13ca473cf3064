//! A program beside this one.

use std::{
    io::{self, BufRead, BufReader, Read},
    process::Child,
};

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what a program says line by line, until one tells what is looked for. Gives what it said in the place of that if it ends
/// before.
pub(crate) fn read_until<T>(
    said: &mut BufReader<impl Read>,
    mut found: impl FnMut(&str) -> Option<T>,
) -> io::Result<Result<T, String>> {
    let mut log = String::new();
    loop {
        let start = log.len();
        if said.read_line(&mut log)? == 0 {
            return Ok(Err(log));
        }
        if let Some(found) = found(log.get(start..).unwrap_or_default()) {
            return Ok(Ok(found));
        }
    }
}
