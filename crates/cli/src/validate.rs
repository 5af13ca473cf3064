//! `coxswain validate`: a proposal document in, the contract's verdict out.

use crate::{
    document::Document,
    judging::{Extent, Target, ValidateError, judge},
    verdict::VerdictReport,
};

/// Asks the contract for its verdict on a document's proposal. With a Bitcoin endpoint, the other steps of judging are taken
/// too, and shown beside it.
///
/// # Errors
/// When the document or the target makes no sense. What fails on the way is an undecided verdict, not an error.
pub async fn validate(document: Document, target: &Target) -> Result<VerdictReport, ValidateError> {
    judge(document, target, Extent::Contract).await.map(|judged| judged.report)
}
