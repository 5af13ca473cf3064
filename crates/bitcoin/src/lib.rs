//! Bitcoin as Coxswain sees it: one narrow [`Backend`], which says of a transaction whether it is there and how deep, of
//! an output whether it is unspent, and what a fee should be.

mod backend;
mod error;

pub use backend::{Answers, Backend, Conditions, FeeRates, Known, Output, Tip};
pub use error::BackendError;
