//! Named points in a program's life at which tests end it: a test-only feature, and nothing without it.
//!
//! With the feature `points`, `COXSWAIN_POINT=append/before:3` names one, and which of its passes counts (the first, if left out).
//! When that pass comes, the program says `point append/before` on standard error, and the thread stands still for ever:
//! whoever reads that kills it exactly there. With `COXSWAIN_POINT_THEN=go` it goes on instead, with `panic` it panics there, and with
//! `make PATH` it makes this file, before it says so, and goes on.

/// Passes a point.
#[cfg(not(feature = "points"))]
#[inline(always)]
pub const fn point(_name: &'static str) {}

#[cfg(feature = "points")]
pub use named::point;

#[cfg(feature = "points")]
mod named {
    use std::{
        env,
        io::Write,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
        thread,
    };

    struct Named {
        name: String,
        pass: u64,
        then: Then,
    }

    /// What happens at a point.
    enum Then {
        Stand,
        Go,
        Panic,
        Make(String),
    }

    static NAMED: OnceLock<Option<Named>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    fn named() -> Option<Named> {
        let text = env::var("COXSWAIN_POINT").ok()?;
        let (name, pass) = match text.split_once(':') {
            Some((name, pass)) => (name.to_owned(), pass.parse().expect("a pass is a number")),
            None => (text, 1),
        };
        let then = match env::var("COXSWAIN_POINT_THEN").as_deref() {
            Ok("go") => Then::Go,
            Ok("panic") => Then::Panic,
            Ok(other) if other.starts_with("make ") => Then::Make(other.replacen("make ", "", 1)),
            _ => Then::Stand,
        };
        Some(Named { name, pass, then })
    }

    /// Passes a point.
    pub fn point(name: &'static str) {
        let Some(named) = NAMED.get_or_init(named) else { return };
        if named.name != name || PASSED.fetch_add(1, Ordering::SeqCst) + 1 != named.pass {
            return;
        }
        if let Then::Make(path) = &named.then {
            std::fs::write(path, "").expect("the test has named a path that can be written");
        }
        // If nobody reads it, nobody waits for it.
        let _ = writeln!(std::io::stderr(), "point {name}");
        match named.then {
            Then::Go | Then::Make(_) => {}
            Then::Panic => panic!("as the test wants it at {name}"),
            Then::Stand => loop {
                thread::park();
            },
        }
    }
}
