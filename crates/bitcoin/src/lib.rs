//! Bitcoin as Coxswain sees it: one narrow [`Backend`], which says of a transaction whether it is there and how deep, of
//! an output whether it is unspent, and what a fee should be.

mod backend;

pub use backend::{Backend, BackendError, FeeRates, Known, Output, Tip};
