//! The verdicts as a table that a person enjoys reading.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{
    Cell, CellAlignment, ContentArrangement, Table,
    presets::{NOTHING, UTF8_BORDERS_ONLY},
};
use coxswain_cli::{VerdictReport, page};
use coxswain_ethereum::ContractVerdict;
use coxswain_rules::RuleId;

/// As wide as the table is at most, in columns.
const WIDEST: usize = 120;

/// One verdict, next to what it should be.
pub(crate) struct Row {
    pub(crate) report: VerdictReport,
    pub(crate) expected: Option<RuleId>,
    pub(crate) time: Duration,
}

impl Row {
    pub(crate) fn is_as_expected(&self) -> bool {
        match &self.report.judgement.verdict {
            ContractVerdict::Valid => self.expected.is_none(),
            ContractVerdict::Rejected(rejection) => {
                rejection.rule.is_some() && rejection.rule == self.expected
            }
            ContractVerdict::Undecided(_) => false,
        }
    }
}

/// The table, in colour; the stream that prints it takes the colour out where it isn't wanted.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    match page::columns() {
        Some(columns) => {
            let width = u16::try_from(columns.min(WIDEST)).expect("120 is no more than a u16 holds");
            table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        // Plain, a row a line.
        None => drop(table.load_style(NOTHING)),
    }
    table.set_header(["action", "verdict", "rule", "item", "what was wrong", "block", "time"]);
    for row in rows {
        let (rule, item, what) = match &row.report.judgement.verdict {
            ContractVerdict::Valid => Default::default(),
            ContractVerdict::Rejected(rejection) => (
                rejection.rule.map(RuleId::id).unwrap_or_default(),
                rejection.item().map(|item| item.to_string()).unwrap_or_default(),
                rejection.cause.to_string(),
            ),
            ContractVerdict::Undecided(undecided) => ("", String::new(), undecided.to_string()),
        };
        let block = row.report.judgement.block.map(|block| block.number.to_string()).unwrap_or_default();
        let time = format!("{:.0} ms", row.time.as_secs_f64() * 1e3);
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(row.report.action),
            Cell::new(verdict(row)),
            Cell::new(rule),
            right(item),
            Cell::new(what),
            right(block),
            right(time),
        ]);
    }
    // In colour only now, so that no escape code is counted as width.
    let mut text = table.to_string();
    for (verdict, colour) in
        [(VALID, AnsiColor::Green), (REJECTED, AnsiColor::Red), (UNDECIDED, AnsiColor::Yellow)]
    {
        let style = Style::new().bold().fg_color(Some(colour.into()));
        text = text.replace(verdict, &format!("{style}{verdict}{style:#}"));
    }
    text
}

const VALID: &str = "✓ valid";
const REJECTED: &str = "✗ rejected";
const UNDECIDED: &str = "? undecided";

fn verdict(row: &Row) -> String {
    let verdict = match &row.report.judgement.verdict {
        ContractVerdict::Valid => VALID,
        ContractVerdict::Rejected(_) => REJECTED,
        ContractVerdict::Undecided(_) => UNDECIDED,
    };
    let surprise = if row.is_as_expected() { "" } else { " (unexpected)" };
    format!("{verdict}{surprise}")
}
